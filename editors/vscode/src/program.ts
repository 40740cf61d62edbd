/** Where the program `fimble` is. */

import * as path from "node:path";

export interface Machine {
  /** What the user has set; empty where nothing. */
  configured: string;
  environment: Readonly<Record<string, string | undefined>>;
  /** Folders that are open. */
  folders: readonly string[];
  /** Whether the user trusts them: what lies in a folder is run only then. */
  isTrusted: boolean;
  home: string;
  platform: NodeJS.Platform;
  exists: (file: string) => boolean;
}

/** The program's path; undefined where it cannot be found. */
export function findProgram(machine: Machine): string | undefined {
  const { configured, environment, home, platform } = machine;
  if (configured !== "") {
    const expanded = configured.replace(/^~(?=[/\\]|$)/, home);
    return machine.exists(expanded) ? expanded : onPath(expanded, machine);
  }
  const { join } = platform === "win32" ? path.win32 : path.posix;
  const scripts = platform === "win32" ? "Scripts" : "bin";
  const environments = machine.isTrusted
    ? machine.folders.flatMap((folder) => [join(folder, ".venv"), join(folder, "venv")])
    : [];
  if (environment.VIRTUAL_ENV) {
    environments.unshift(environment.VIRTUAL_ENV);
  }
  // Editors that a desktop has started do not have the PATH of a terminal.
  const usual = platform === "win32" ? [] : ["/opt/homebrew/bin", "/usr/local/bin"];
  const folders = [
    ...environments.map((root) => join(root, scripts)),
    join(home, ".local", "bin"),
    ...usual,
  ];
  return onPath("fimble", machine) ?? firstIn(folders, "fimble", machine);
}

function onPath(name: string, machine: Machine): string | undefined {
  const isWindows = machine.platform === "win32";
  const given = machine.environment.PATH ?? machine.environment.Path ?? "";
  const { isAbsolute, basename } = isWindows ? path.win32 : path.posix;
  // A relative folder would be one of whatever folder the editor runs in.
  const folders = given.split(isWindows ? ";" : ":").filter((folder) => isAbsolute(folder));
  return basename(name) === name ? firstIn(folders, name, machine) : undefined;
}

function firstIn(folders: readonly string[], name: string, machine: Machine): string | undefined {
  const isWindows = machine.platform === "win32";
  const { join } = isWindows ? path.win32 : path.posix;
  const endings = isWindows ? [".exe", ".cmd", ""] : [""];
  const files = folders.flatMap((folder) => endings.map((ending) => join(folder, name + ending)));
  return files.find((file) => machine.exists(file));
}
