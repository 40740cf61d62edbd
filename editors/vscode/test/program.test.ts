import assert from "node:assert/strict";
import { test } from "node:test";
import { findProgram, type Machine } from "../src/program";

function machine(files: string[], more: Partial<Machine> = {}): Machine {
  return {
    configured: "",
    environment: { PATH: "/usr/bin:/opt/tools" },
    folders: ["/src/shop"],
    isTrusted: true,
    home: "/home/ada",
    platform: "linux",
    exists: (file) => files.includes(file),
    ...more,
  };
}

test("a program on the PATH wins over one in the folder", () => {
  const files = ["/opt/tools/fimble", "/src/shop/.venv/bin/fimble"];
  assert.equal(findProgram(machine(files)), "/opt/tools/fimble");
});

test("a virtual environment of the folder is used only where the folder is trusted", () => {
  const files = ["/src/shop/.venv/bin/fimble"];
  assert.equal(findProgram(machine(files)), "/src/shop/.venv/bin/fimble");
  assert.equal(findProgram(machine(files, { isTrusted: false })), undefined);
});

test("an activated environment comes before the folder's", () => {
  const files = ["/envs/one/bin/fimble", "/src/shop/venv/bin/fimble"];
  const environment = { VIRTUAL_ENV: "/envs/one" };
  assert.equal(findProgram(machine(files, { environment })), "/envs/one/bin/fimble");
});

test("where pipx puts it is looked into last", () => {
  assert.equal(findProgram(machine(["/home/ada/.local/bin/fimble"])), "/home/ada/.local/bin/fimble");
});

test("what is configured counts alone", () => {
  const files = ["/opt/tools/fimble", "/home/ada/f/fimble"];
  assert.equal(findProgram(machine(files, { configured: "~/f/fimble" })), "/home/ada/f/fimble");
  assert.equal(findProgram(machine(files, { configured: "fimble" })), "/opt/tools/fimble");
  assert.equal(findProgram(machine(files, { configured: "/gone/fimble" })), undefined);
});

test("a relative folder on the PATH is not searched", () => {
  const environment = { PATH: ".:bin" };
  assert.equal(findProgram(machine(["fimble", "bin/fimble"], { environment })), undefined);
});

test("Windows has its own endings and folders", () => {
  const file = "C:\\src\\shop\\.venv\\Scripts\\fimble.exe";
  const found = findProgram(
    machine([file], { platform: "win32", folders: ["C:\\src\\shop"], home: "C:\\Users\\Ada", environment: { Path: "C:\\Windows" } }),
  );
  assert.equal(found, file);
});
