/** What is recorded: the notice at the first start, and the choice of a level. */

import * as vscode from "vscode";
import { SECTION } from "./settings";
import facts from "./server.json";

const SHOWN = "fimble.noticeShown";
const SETTING = "telemetry.level";

interface Level extends vscode.QuickPickItem {
  level: string;
}

const LEVELS: readonly Level[] = [
  { level: "off", label: "Nothing", detail: "No file is created." },
  {
    level: "metrics",
    label: "What becomes of suggestions",
    detail: "Taken or not, how long, how fast: no code, no paths, and no trace of who it was.",
  },
  {
    level: "keys",
    label: "That, with a pseudonym and the team",
    detail: "Experiments need it. The pseudonym is a keyed hash; the key stays on this machine.",
  },
];

/** Say once what is recorded, unless the user has decided already. */
export async function showNotice(state: vscode.Memento): Promise<void> {
  if (state.get(SHOWN, false) || isDecided()) {
    return;
  }
  await state.update(SHOWN, true);
  const keep = "OK", choose = "Choose…", off = "Record Nothing";
  const chosen = await vscode.window.showInformationMessage(
    "Fimble records on this machine what becomes of its suggestions: taken or not, how long, how " +
      "fast. No code, no paths, no names. Nothing is sent anywhere unless a collector is configured.",
    keep,
    choose,
    off,
  );
  if (chosen === choose) {
    await chooseLevel();
  } else if (chosen === off) {
    await set("off");
  }
}

export async function chooseLevel(): Promise<void> {
  const current = vscode.workspace.getConfiguration(SECTION).get(SETTING, facts.telemetryLevel);
  const items = LEVELS.map((each) => ({
    ...each,
    label: `${each.level === current ? "$(check)" : "$(blank)"} ${each.label}`,
  }));
  const chosen = await vscode.window.showQuickPick(items, {
    title: "What Fimble Records",
    placeHolder: "Code is recorded only where you say so yourself in fimble.toml: level = \"content\"",
  });
  if (chosen !== undefined) {
    await set(chosen.level);
  }
}

function isDecided(): boolean {
  const said = vscode.workspace.getConfiguration(SECTION).inspect(SETTING);
  return said?.globalValue !== undefined || said?.workspaceValue !== undefined;
}

async function set(level: string): Promise<void> {
  const configuration = vscode.workspace.getConfiguration(SECTION);
  await configuration.update(SETTING, level, vscode.ConfigurationTarget.Global);
}
