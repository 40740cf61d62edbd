/** Fimble in VS Code: the language server does the work, this connects it. */

import * as vscode from "vscode";
import { isEnabled, languagesOff, registerCommands } from "./menu";
import { showNotice } from "./recording";
import { Server } from "./server";
import { SECTION } from "./settings";
import { Status } from "./status";
import { Token } from "./token";

/** Settings that count from the server's start. */
const AT_START = ["command", "telemetry", "engine.token_variable"];

let running: Server | undefined;

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const log = vscode.window.createOutputChannel("Fimble", { log: true });
  const status = new Status(isEnabled, languagesOff);
  const token = new Token(context.secrets);
  const server = new Server(context, log, status, token);
  running = server;
  context.subscriptions.push(
    log,
    status,
    server,
    ...registerCommands(server, token, log),
    vscode.workspace.onDidChangeConfiguration(async (event) => {
      if (AT_START.some((name) => event.affectsConfiguration(`${SECTION}.${name}`))) {
        await server.restart();
      }
      if (event.affectsConfiguration(SECTION)) {
        status.reconsider();
      }
    }),
    vscode.window.onDidChangeActiveTextEditor(async (editor) => {
      if (editor !== undefined) {
        await server.focused(editor.document);
      }
    }),
    vscode.workspace.onDidGrantWorkspaceTrust(async () => {
      if (!server.isRunning) {
        await server.restart();
      }
    }),
  );
  void showNotice(context.globalState);
  await server.restart();
}

export function deactivate(): Promise<void> | undefined {
  return running?.stop();
}
