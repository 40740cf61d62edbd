/** The entry in the status bar. */

import * as vscode from "vscode";
import { appearanceOf, type Explanation, type Phase, type Situation } from "./appearance";

export class Status implements vscode.Disposable {
  private readonly item: vscode.StatusBarItem;
  private readonly explanations = new Map<string, Explanation>();
  private readonly subscriptions: vscode.Disposable[];
  private phase: Phase = "starting";
  private model = "";
  private latencyMs: number | undefined;

  constructor(
    private readonly isEnabled: () => boolean,
    private readonly languagesOff: () => readonly string[],
  ) {
    this.item = vscode.window.createStatusBarItem("fimble", vscode.StatusBarAlignment.Right, 100);
    this.item.name = "Fimble";
    this.item.command = "fimble.menu";
    this.subscriptions = [
      vscode.window.onDidChangeActiveTextEditor(() => this.draw()),
      vscode.workspace.onDidCloseTextDocument((document) => {
        this.explanations.delete(document.uri.toString());
      }),
    ];
    this.draw();
    this.item.show();
  }

  enter(phase: Phase): void {
    this.phase = phase;
    if (phase !== "running") {
      this.explanations.clear();
      this.model = "";
      this.latencyMs = undefined;
    }
    this.draw();
  }

  /** The settings have changed: why something was so may be so no longer. */
  reconsider(): void {
    this.explanations.clear();
    this.draw();
  }

  /** The server has answered a question about a document. */
  answered(uri: vscode.Uri, explanation: Explanation, latencyMs: number): void {
    this.explanations.set(uri.toString(), explanation);
    this.model = explanation.model || this.model;
    this.latencyMs = latencyMs;
    this.draw();
  }

  draw(): void {
    const document = vscode.window.activeTextEditor?.document;
    const situation: Situation = {
      phase: this.phase,
      isEnabled: this.isEnabled(),
      isLanguageOff: document !== undefined && this.languagesOff().includes(document.languageId),
      explanation: document && this.explanations.get(document.uri.toString()),
      model: this.model,
      latencyMs: this.latencyMs,
    };
    const { text, tooltip, isWarning } = appearanceOf(situation);
    this.item.text = text;
    this.item.tooltip = new vscode.MarkdownString(`**Fimble** — ${tooltip}\n\nClick for the menu.`, true);
    this.item.accessibilityInformation = { label: text.replace(/\$\([^)]*\)/g, "").trim() };
    this.item.backgroundColor = isWarning
      ? new vscode.ThemeColor("statusBarItem.warningBackground")
      : undefined;
  }

  dispose(): void {
    for (const each of [...this.subscriptions, this.item]) {
      each.dispose();
    }
  }
}
