/** The token for the server of the model, in the keychain that VS Code has. */

import * as vscode from "vscode";

const KEY = "fimble.engineToken";

export class Token {
  constructor(private readonly secrets: vscode.SecretStorage) {}

  value(): Thenable<string | undefined> {
    return this.secrets.get(KEY);
  }

  /** Ask for a token; whether there is a new one. */
  async ask(): Promise<boolean> {
    const value = await vscode.window.showInputBox({
      title: "Token for the Server of the Model",
      prompt: "Kept in VS Code's secret storage, and given to the language server only.",
      password: true,
      ignoreFocusOut: true,
    });
    if (!value) {
      return false;
    }
    await this.secrets.store(KEY, value);
    return true;
  }

  async forget(): Promise<void> {
    await this.secrets.delete(KEY);
  }
}
