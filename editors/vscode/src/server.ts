/** The language server: started, told its settings, asked for suggestions, started again. */

import { existsSync } from "node:fs";
import { homedir } from "node:os";
import * as vscode from "vscode";
import { type LanguageClientOptions, type Middleware, State } from "vscode-languageclient";
import { LanguageClient } from "vscode-languageclient/node";
import type { Explanation } from "./appearance";
import { Offers, takePart } from "./partial";
import { findProgram } from "./program";
import facts from "./server.json";
import { SECTION, settingsOfServer, type Tables, tablesOf } from "./settings";
import type { Status } from "./status";
import type { Token } from "./token";

/** Where the server listens to what is written; not in logs, diffs and the like. */
const DOCUMENTS = ["file", "untitled", "vscode-notebook-cell", "vscode-vfs"];
/** More crashes within three minutes are the user's business. */
const MAX_RESTARTS = 4;
/** The status bar asks after so long, so that a fast typist is not asked about every key. */
const EXPLAIN_AFTER_MS = 100;

export class Server implements vscode.Disposable {
  private client: LanguageClient | undefined;
  private telemetry: Tables = {};
  /** Starts and stops, one after the other. */
  private turn: Promise<void> = Promise.resolve();
  private explaining: NodeJS.Timeout | undefined;
  private readonly offers = new Offers();

  constructor(
    private readonly context: vscode.ExtensionContext,
    private readonly log: vscode.LogOutputChannel,
    private readonly status: Status,
    private readonly token: Token,
  ) {}

  /** Start the server, in place of one that runs. */
  restart(): Promise<void> {
    this.turn = this.turn.then(async () => {
      await this.end();
      await this.begin();
    });
    return this.turn;
  }

  stop(): Promise<void> {
    this.turn = this.turn.then(() => this.end());
    return this.turn;
  }

  get isRunning(): boolean {
    return this.client?.isRunning() ?? false;
  }

  /** Why the latest request for a document got its answer. */
  async explain(uri: vscode.Uri): Promise<Explanation | undefined> {
    if (!this.client?.isRunning()) {
      return undefined;
    }
    return this.client.sendRequest<Explanation>("workspace/executeCommand", {
      command: facts.explainCommand,
      arguments: [this.client.code2ProtocolConverter.asUri(uri)],
    });
  }

  /** The user went to a document: suggestions in others are gone, and the engine reads this one. */
  async focused(document: vscode.TextDocument): Promise<void> {
    if (this.client?.isRunning() && DOCUMENTS.includes(document.uri.scheme)) {
      const uri = this.client.code2ProtocolConverter.asUri(document.uri);
      await this.client.sendNotification("textDocument/didFocus", { textDocument: { uri } });
    }
  }

  /** Take the next part of the suggestion on screen. */
  async acceptPart(part: "Word" | "Line"): Promise<void> {
    const taken = await takePart(this.offers, part);
    if (taken !== undefined && this.client?.isRunning()) {
      await this.client.sendNotification("textDocument/didPartiallyAcceptCompletion", taken);
    }
  }

  dispose(): void {
    clearTimeout(this.explaining);
    void this.stop();
  }

  private async begin(): Promise<void> {
    const program = findProgram({
      configured: vscode.workspace.getConfiguration(SECTION).get("command", "").trim(),
      environment: process.env,
      folders: (vscode.workspace.workspaceFolders ?? []).map((folder) => folder.uri.fsPath),
      isTrusted: vscode.workspace.isTrusted,
      home: homedir(),
      platform: process.platform,
      exists: existsSync,
    });
    if (program === undefined) {
      this.status.enter("missing");
      this.log.error("the program `fimble` was not found");
      void sayThatItIsMissing(this.context);
      return;
    }
    this.log.info(`starting ${program} lsp`);
    this.status.enter("starting");
    this.telemetry = this.telemetryNow();
    const client = new LanguageClient(
      SECTION,
      "Fimble",
      { command: program, args: ["lsp"], options: { env: await this.environment() } },
      this.options(),
    );
    this.client = client;
    client.onDidChangeState(({ newState }) => {
      const isCurrent = this.client === client;
      if (isCurrent) {
        this.status.enter(newState === State.Running ? "running" : newState === State.Starting ? "starting" : "stopped");
      }
    });
    try {
      await client.start();
    } catch (error) {
      this.log.error(`the server did not start: ${String(error)}`);
      this.status.enter("stopped");
    }
  }

  private async end(): Promise<void> {
    const client = this.client;
    this.client = undefined;
    if (client === undefined) {
      return;
    }
    try {
      await client.dispose();
    } catch (error) {
      this.log.warn(`the server did not end by itself: ${String(error)}`);
    }
  }

  private async environment(): Promise<NodeJS.ProcessEnv> {
    const token = await this.token.value();
    const variable = vscode.workspace
      .getConfiguration(SECTION)
      .get("engine.token_variable", facts.tokenVariable);
    return token === undefined ? process.env : { ...process.env, [variable]: token };
  }

  private options(): LanguageClientOptions {
    return {
      documentSelector: DOCUMENTS.map((scheme) => ({ scheme })),
      outputChannel: this.log,
      connectionOptions: { maxRestartCount: MAX_RESTARTS },
      // Only what counts from the first moment; the server asks for the rest, also when it changes.
      initializationOptions: { telemetry: this.telemetry },
      middleware: this.middleware(),
    };
  }

  private middleware(): Middleware {
    return {
      provideInlineCompletionItems: async (document, position, context, token, next) => {
        if (!vscode.workspace.getConfiguration(SECTION, document).get("enabled", true)) {
          return [];
        }
        const askedMs = performance.now();
        const items = await next(document, position, context, token);
        if (!token.isCancellationRequested && items) {
          this.answered(document.uri, performance.now() - askedMs);
          this.offers.given(document, Array.isArray(items) ? items : items.items);
        }
        return items;
      },
      workspace: {
        configuration: (params, token, next) => {
          const answers = next(params, token);
          if (!Array.isArray(answers)) {
            return answers;
          }
          return answers.map((answer, n) =>
            params.items[n]?.section === SECTION ? this.tables(params.items[n]?.scopeUri) : answer,
          );
        },
        // Without settings in it, the server asks; what the client would push has all defaults in it.
        didChangeConfiguration: async (_, next) => {
          const client = this.client;
          await this.turn; // the change may be one that starts another server
          if (client !== undefined && client === this.client && client.isRunning()) {
            await next(undefined);
          }
        },
      },
    };
  }

  /** The user's settings; those of telemetry as they were when the server started. */
  private tables(scope: string | undefined): Tables {
    const resource = scope === undefined ? undefined : vscode.Uri.parse(scope);
    const configuration = vscode.workspace.getConfiguration(SECTION, resource);
    const names = settingsOfServer(this.context.extension.packageJSON);
    return { ...tablesOf(names, configuration), telemetry: this.telemetry };
  }

  private telemetryNow(): Tables {
    const names = settingsOfServer(this.context.extension.packageJSON);
    const { telemetry } = tablesOf(names, vscode.workspace.getConfiguration(SECTION));
    const version: string = this.context.extension.packageJSON.version;
    return { ...(telemetry as Tables | undefined), plugin_version: version };
  }

  /** Show in the status bar what answered, once the user pauses. */
  private answered(uri: vscode.Uri, latencyMs: number): void {
    clearTimeout(this.explaining);
    this.explaining = setTimeout(async () => {
      try {
        const explanation = await this.explain(uri);
        if (explanation !== undefined) {
          this.status.answered(uri, explanation, latencyMs);
        }
      } catch (error) {
        this.log.debug(`no explanation: ${String(error)}`);
      }
    }, EXPLAIN_AFTER_MS);
  }
}

async function sayThatItIsMissing(context: vscode.ExtensionContext): Promise<void> {
  const how = "How to Install", where = "Choose the Program", again = "Try Again";
  const chosen = await vscode.window.showErrorMessage(
    "Fimble: the program `fimble` was not found. Install it, or set `fimble.command`.",
    how,
    where,
    again,
  );
  if (chosen === how) {
    // Packing writes the name in small letters.
    const names = ["readme.md", "README.md"].map((name) => vscode.Uri.joinPath(context.extensionUri, name));
    const page = names.find((each) => existsSync(each.fsPath));
    await vscode.commands.executeCommand("markdown.showPreview", page);
  } else if (chosen === where) {
    await vscode.commands.executeCommand("workbench.action.openSettings", "fimble.command");
  } else if (chosen === again) {
    await vscode.commands.executeCommand("fimble.restart");
  }
}
