/** The commands of the extension, and the menu of them behind the status bar. */

import * as vscode from "vscode";
import { told } from "./appearance";
import { chooseLevel } from "./recording";
import type { Server } from "./server";
import { SECTION, toggled } from "./settings";
import type { Token } from "./token";

const OFF_LANGUAGES = "completion.disabled_languages";

interface Entry extends vscode.QuickPickItem {
  command: string;
}

/** Register all commands of the manifest. */
export function registerCommands(
  server: Server,
  token: Token,
  log: vscode.LogOutputChannel,
): vscode.Disposable[] {
  const commands: Record<string, () => unknown> = {
    "fimble.menu": showMenu,
    "fimble.toggle": toggle,
    "fimble.toggleLanguage": toggleLanguage,
    "fimble.why": () => why(server, log),
    "fimble.showLog": () => log.show(),
    "fimble.setToken": async () => {
      if (await token.ask()) {
        await server.restart();
      }
    },
    "fimble.forgetToken": async () => {
      await token.forget();
      await server.restart();
    },
    "fimble.telemetryLevel": chooseLevel,
    "fimble.acceptWord": () => server.acceptPart("Word"),
    "fimble.acceptLine": () => server.acceptPart("Line"),
    "fimble.restart": () => server.restart(),
  };
  return Object.entries(commands).map(([name, run]) => vscode.commands.registerCommand(name, run));
}

export function isEnabled(): boolean {
  return vscode.workspace.getConfiguration(SECTION).get("enabled", true);
}

async function showMenu(): Promise<void> {
  const language = vscode.window.activeTextEditor?.document.languageId;
  const entries: Entry[] = [
    { command: "fimble.toggle", label: isEnabled() ? "$(circle-slash) Turn Suggestions Off" : "$(check) Turn Suggestions On" },
  ];
  if (language !== undefined) {
    const verb = languagesOff().includes(language) ? "$(check) Turn Suggestions On" : "$(circle-slash) Turn Suggestions Off";
    entries.push({ command: "fimble.toggleLanguage", label: `${verb} for ${language}` });
  }
  entries.push(
    { command: "fimble.why", label: "$(question) Why No Suggestion?" },
    { command: "fimble.showLog", label: "$(output) Show Log" },
    { command: "fimble.setToken", label: "$(key) Set the Token for the Server of the Model" },
    { command: "fimble.telemetryLevel", label: "$(graph) Choose What Is Recorded" },
    { command: "fimble.restart", label: "$(debug-restart) Restart the Language Server" },
    { command: "workbench.action.openSettings", label: "$(gear) Settings" },
  );
  const chosen = await vscode.window.showQuickPick(entries, { title: "Fimble" });
  if (chosen !== undefined) {
    await vscode.commands.executeCommand(chosen.command, `${SECTION}.`);
  }
}

async function toggle(): Promise<void> {
  await update("enabled", !isEnabled());
}

async function toggleLanguage(): Promise<void> {
  const language = vscode.window.activeTextEditor?.document.languageId;
  if (language === undefined) {
    void vscode.window.showInformationMessage("Fimble: no file is open.");
    return;
  }
  await update(OFF_LANGUAGES, toggled(languagesOff(), language));
}

async function why(server: Server, log: vscode.LogOutputChannel): Promise<void> {
  const document = vscode.window.activeTextEditor?.document;
  if (document === undefined) {
    void vscode.window.showInformationMessage("Fimble: no file is open.");
    return;
  }
  if (!isEnabled()) {
    void vscode.window.showInformationMessage("Fimble: suggestions are turned off.");
    return;
  }
  const explanation = await server.explain(document.uri);
  if (explanation === undefined) {
    void vscode.window.showWarningMessage("Fimble: the language server does not run; the log says why.");
    return;
  }
  log.info(JSON.stringify(explanation));
  const more = "Show Log";
  if ((await vscode.window.showInformationMessage(told(explanation), more)) === more) {
    log.show();
  }
}

export function languagesOff(): string[] {
  return vscode.workspace.getConfiguration(SECTION).get<string[]>(OFF_LANGUAGES, []);
}

/** Change a setting where it is set already, in the user's settings otherwise. */
async function update(name: string, value: unknown): Promise<void> {
  const configuration = vscode.workspace.getConfiguration(SECTION);
  const isOfWorkspace = configuration.inspect(name)?.workspaceValue !== undefined;
  const target = isOfWorkspace ? vscode.ConfigurationTarget.Workspace : vscode.ConfigurationTarget.Global;
  await configuration.update(name, value, target);
  await vscode.commands.executeCommand("editor.action.inlineSuggest.hide");
}
