/**
 * Taking a suggestion in part. VS Code tells extensions only of whole ones, so its keys for parts run
 * commands of ours: they take the part as VS Code does, and then tell the server how much it was.
 */

import * as vscode from "vscode";

/** An item of the server's, as the notification names it. */
export interface Offered {
  insertText: string;
  range: vscode.Range | undefined;
  command: vscode.Command | undefined;
}

/** The suggestions that the server gave last. */
export class Offers {
  private uri = "";
  private items: Offered[] = [];

  given(document: vscode.TextDocument, items: readonly vscode.InlineCompletionItem[]): void {
    this.uri = document.uri.toString();
    this.items = items.map(({ insertText, range, command }) => ({
      insertText: typeof insertText === "string" ? insertText : insertText.value,
      range,
      command,
    }));
  }

  /** The item of which everything up to `end` stands in the document, and how much that is. */
  takenUpTo(
    document: vscode.TextDocument,
    end: vscode.Position,
  ): { item: Offered; acceptedLength: number } | undefined {
    if (document.uri.toString() !== this.uri) {
      return undefined;
    }
    for (const item of this.items) {
      const taken = item.range && document.getText(new vscode.Range(item.range.start, end));
      if (taken && item.insertText.startsWith(taken)) {
        return { item, acceptedLength: taken.length };
      }
    }
    return undefined;
  }
}

/** Take the next part of the suggestion on screen; what of it then stands, if it is ours. */
export async function takePart(
  offers: Offers,
  part: "Word" | "Line",
): Promise<{ item: Offered; acceptedLength: number } | undefined> {
  const editor = vscode.window.activeTextEditor;
  const before = editor?.document.version;
  await vscode.commands.executeCommand(`editor.action.inlineSuggest.acceptNext${part}`);
  if (editor === undefined || editor.document.version === before) {
    return undefined;
  }
  return offers.takenUpTo(editor.document, editor.selection.active);
}
