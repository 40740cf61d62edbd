/** The settings that the user has made, as the tables of `fimble.toml`. */

import type { ExtensionContext, WorkspaceConfiguration } from "vscode";

/** The name of our settings. */
export const SECTION = "fimble";

/** The extension's own settings; the server does not know them. */
const OWN = new Set(["enabled", "command", "trace.server"]);

export interface Tables {
  [key: string]: unknown;
}

/** The settings of the server that the manifest lists, without `fimble.` in front. */
export function settingsOfServer(manifest: ExtensionContext["extension"]["packageJSON"]): string[] {
  const categories: { properties: object }[] = manifest.contributes.configuration;
  return categories
    .flatMap((category) => Object.keys(category.properties))
    .map((name) => name.slice(SECTION.length + 1))
    .filter((name) => !OWN.has(name));
}

/**
 * The tables with what somebody has set, and nothing else: a default of VS Code's would win over
 * `fimble.toml`.
 */
export function tablesOf(
  names: readonly string[],
  configuration: Pick<WorkspaceConfiguration, "inspect" | "get">,
): Tables {
  const tables: Tables = {};
  for (const name of names) {
    const said = configuration.inspect(name);
    const isSet =
      said !== undefined &&
      [said.globalValue, said.workspaceValue, said.workspaceFolderValue].some((v) => v !== undefined);
    if (isSet) {
      put(tables, name.split("."), configuration.get(name));
    }
  }
  return tables;
}

function put(tables: Tables, path: readonly string[], value: unknown): void {
  const [first, ...rest] = path;
  if (first === undefined) {
    return;
  }
  if (rest.length === 0) {
    tables[first] = value;
    return;
  }
  const table = (tables[first] ??= {}) as Tables;
  put(table, rest, value);
}

/** The list without `item`, or with it behind the others. */
export function toggled(list: readonly string[], item: string): string[] {
  return list.includes(item) ? list.filter((each) => each !== item) : [...list, item];
}
