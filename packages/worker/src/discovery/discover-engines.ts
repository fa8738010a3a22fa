import type { Dispatcher } from "undici";

import { type EngineKind, PUBLISHED_SCORE, type Recognition } from "../engines/engine.ts";
import { EngineProbe } from "../engines/probe.ts";
import { recognise } from "../engines/recognise.ts";
import { LIMITS } from "../limits.ts";

/** A server that looks like an engine, and what to do with it. */
export interface FoundEngine {
  readonly url: URL;
  readonly kind: EngineKind;
  readonly recognition: Recognition;
  /** "confirm": a guess, shared only when the owner agrees. "needs-key": it asks for an API key that we have not got. */
  readonly verdict: "publish" | "confirm" | "needs-key";
}

/** Looks for engines on `ports` of this machine, in their order. Never asks for a generation, loads no model. */
export async function discoverEngines(ports: readonly number[], dispatcher: Dispatcher): Promise<FoundEngine[]> {
  const found: (FoundEngine | undefined)[] = [];
  let next = 0;
  const lookInTurn = async (): Promise<void> => {
    for (let at = next++; at < ports.length; at = next++) found[at] = await lookAt(ports[at] ?? 0, dispatcher);
  };
  await Promise.all(Array.from({ length: LIMITS.maxProbesAtOnce }, lookInTurn));
  return found.filter((engine) => engine !== undefined);
}

async function lookAt(port: number, dispatcher: Dispatcher): Promise<FoundEngine | undefined> {
  const url = new URL(`http://127.0.0.1:${port}`);
  const { probeTimeoutMs: timeoutMs, maxProbeBytes: maxBytes } = LIMITS;
  const recognised = await recognise(new EngineProbe(url, { timeoutMs, maxBytes, dispatcher }));
  if (recognised === undefined) return undefined;
  return { url, ...recognised, verdict: verdictOn(recognised.recognition) };
}

function verdictOn(recognition: Recognition): FoundEngine["verdict"] {
  if (recognition.needsKey === true) return "needs-key";
  return recognition.score >= PUBLISHED_SCORE ? "publish" : "confirm";
}
