import assert from "node:assert/strict";
import { test } from "node:test";
import { appearanceOf, isOffHere, type Situation, told } from "../src/appearance";
import facts from "../src/server.json";

const READY: Situation = {
  phase: "running",
  isEnabled: true,
  isLanguageOff: false,
  explanation: undefined,
  model: "",
  latencyMs: undefined,
};

function text(more: Partial<Situation>): string {
  return appearanceOf({ ...READY, ...more }).text;
}

test("the state comes before all else", () => {
  assert.equal(text({ phase: "missing", isEnabled: false }), "$(error) Fimble: not installed");
  assert.equal(text({ phase: "stopped" }), "$(error) Fimble: stopped");
  assert.equal(text({ phase: "starting" }), "$(loading~spin) Fimble: starting");
  assert.equal(text({}), "$(sparkle) Fimble");
});

test("off everywhere, for the language and for the file look alike but for the words", () => {
  assert.equal(text({ isEnabled: false }), "$(circle-slash) Fimble: off");
  assert.equal(text({ isLanguageOff: true }), "$(circle-slash) Fimble: off here");
  for (const why of facts.offHere) {
    assert.ok(isOffHere({ why }));
    assert.equal(text({ explanation: { why } }), "$(circle-slash) Fimble: off here");
  }
  assert.ok(!isOffHere({ why: "a suggestion was sent" }));
});

test("model and latency of the latest answer are shown", () => {
  const explanation = { why: "a suggestion was sent", backend: "embedded", model: "fimble-60m" };
  assert.equal(text({ explanation, model: "fimble-60m", latencyMs: 41.6 }), "$(sparkle) fimble-60m 42 ms");
});

test("a server that does not answer is a warning, with the reason", () => {
  const explanation = { why: "a suggestion was sent", backend: "embedded", trouble: "no route" };
  const shown = appearanceOf({ ...READY, explanation, model: "fimble-60m", latencyMs: 50 });
  assert.equal(shown.text, "$(warning) Fimble: fimble-60m 50 ms");
  assert.ok(shown.isWarning);
  assert.match(shown.tooltip, /no route/);
});

test("why there is nothing is told with what is known", () => {
  assert.equal(told({ why: "nothing was asked yet" }), "Fimble: nothing was asked yet.");
  assert.equal(
    told({ why: "the model suggests nothing here", detail: "syntax", model: "m", backend: "tgi", total_ms: 12.4 }),
    "Fimble: the model suggests nothing here — syntax, model m (tgi), 12 ms.",
  );
});
