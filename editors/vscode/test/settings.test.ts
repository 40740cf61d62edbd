import assert from "node:assert/strict";
import { test } from "node:test";
import manifest from "../package.json";
import { settingsOfServer, tablesOf, toggled } from "../src/settings";

function configuration(set: Record<string, unknown>, at = "globalValue") {
  return {
    inspect: <T>(key: string) => ({ key, ...(key in set ? { [at]: set[key] as T } : {}) }),
    get: (key: string) => (key in set ? set[key] : "a default of the editor"),
  };
}

test("the server's settings are those of the manifest, without the extension's own", () => {
  const names = settingsOfServer(manifest);
  assert.ok(names.includes("completion.window.prefix_bytes"));
  assert.deepEqual(names.filter((name) => ["enabled", "command", "trace.server"].includes(name)), []);
});

test("what nobody has set is not sent, so that fimble.toml counts", () => {
  assert.deepEqual(tablesOf(["engine.model", "completion.debounce_ms"], configuration({})), {});
});

test("what is set anywhere is sent, false and empty values too", () => {
  const names = ["engine.failover", "completion.window.step_lines", "completion.disabled_globs"];
  for (const at of ["globalValue", "workspaceValue", "workspaceFolderValue"]) {
    const set = { "engine.failover": false, "completion.window.step_lines": 8, "completion.disabled_globs": [] };
    assert.deepEqual(tablesOf(names, configuration(set, at)), {
      engine: { failover: false },
      completion: { window: { step_lines: 8 }, disabled_globs: [] },
    });
  }
});

test("toggling twice changes nothing", () => {
  assert.deepEqual(toggled(["go"], "python"), ["go", "python"]);
  assert.deepEqual(toggled(["go", "python"], "python"), ["go"]);
});
