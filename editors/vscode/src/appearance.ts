/** What the status bar shows; no VS Code here, so that it can be tested without. */

import server from "./server.json";

export type Phase = "starting" | "running" | "stopped" | "missing";

/** The server's answer to `fimble.explain`. */
export interface Explanation {
  why: string;
  detail?: string;
  cache?: string;
  total_ms?: number;
  backend?: string;
  model?: string;
  trouble?: string;
}

export interface Situation {
  phase: Phase;
  isEnabled: boolean;
  /** Whether the language of the document that has the focus is turned off. */
  isLanguageOff: boolean;
  /** Of the document that has the focus. */
  explanation: Explanation | undefined;
  /** Of the server that answered last. */
  model: string;
  /** Between the latest question and its answer. */
  latencyMs: number | undefined;
}

export interface Appearance {
  text: string;
  /** Markdown. */
  tooltip: string;
  isWarning: boolean;
}

/** Whether the document itself is why there are no suggestions in it. */
export function isOffHere(explanation: Explanation | undefined): boolean {
  return explanation !== undefined && server.offHere.includes(explanation.why);
}

export function appearanceOf(situation: Situation): Appearance {
  const { phase, isEnabled, isLanguageOff, explanation, model, latencyMs } = situation;
  if (phase === "missing") {
    return shown("$(error) Fimble: not installed", "The program `fimble` was not found.", true);
  }
  if (phase === "stopped") {
    return shown("$(error) Fimble: stopped", "The language server does not run. Its log says why.", true);
  }
  if (phase === "starting") {
    return shown("$(loading~spin) Fimble: starting", "The language server is starting.");
  }
  if (!isEnabled) {
    return shown("$(circle-slash) Fimble: off", "Suggestions are turned off.");
  }
  if (isLanguageOff) {
    return shown("$(circle-slash) Fimble: off here", "Suggestions are turned off for this language.");
  }
  if (explanation !== undefined && isOffHere(explanation)) {
    return shown("$(circle-slash) Fimble: off here", `No suggestions here: ${explanation.why}.`);
  }
  const latency = latencyMs === undefined ? "" : ` ${Math.round(latencyMs)} ms`;
  if (explanation?.trouble) {
    const about = `The server does not answer; \`${model}\` on this machine does: ${explanation.trouble}`;
    return shown(`$(warning) Fimble: ${model}${latency}`, about, true);
  }
  if (model === "") {
    return shown("$(sparkle) Fimble", "Ready.");
  }
  const where = explanation?.backend ? ` (${explanation.backend})` : "";
  return shown(`$(sparkle) ${model}${latency}`, `Ready. The latest answer came from \`${model}\`${where}.`);
}

/** Why there is no suggestion, in one paragraph. */
export function told(explanation: Explanation): string {
  const details = [
    explanation.detail,
    explanation.model && `model ${explanation.model} (${explanation.backend ?? ""})`,
    explanation.cache && `from ${explanation.cache}`,
    explanation.total_ms ? `${Math.round(explanation.total_ms)} ms` : "",
    explanation.trouble && `the server does not answer: ${explanation.trouble}`,
  ].filter((each) => each);
  return `Fimble: ${explanation.why}${details.length > 0 ? ` — ${details.join(", ")}` : ""}.`;
}

function shown(text: string, tooltip: string, isWarning = false): Appearance {
  return { text, tooltip, isWarning };
}
