import type { TestContext } from "node:test";

import { type SimulatedEngine, startSimulatedEngine } from "@tokilake/tiny-engine";

import { startEngineProcess } from "./engine.ts";
import { type Access, System } from "./system.ts";

/** Where an SDK's requests go. */
export interface Way {
  /** To the tiny engine: its model is "tiny" and its tokens are real. */
  readonly tiny: Access;
  /** To the simulated engine: its model is "simulated" and it does what it is told. */
  readonly simulated: Access;
  readonly engine: SimulatedEngine;
}

/**
 * Runs each of `tests` twice: straight to the engines, then through hub and worker. What fails straight is the
 * engine's or the SDK's; what fails only through the hub is ours.
 */
export async function testBothWays(
  t: TestContext,
  tests: Readonly<Record<string, (way: Way) => Promise<void>>>,
): Promise<void> {
  await using engine = await startSimulatedEngine();
  await using tinyEngine = await startEngineProcess();
  const straight = (url: string): Access => ({ baseURL: `${url}/v1`, apiKey: "none" });
  const control = { tiny: straight(tinyEngine.url), simulated: straight(engine.url), engine };
  for (const [name, run] of Object.entries(tests)) await t.test(`straight to the engine, ${name}`, () => run(control));

  await using system = await System.start(t, { engine, moreModels: { tiny: tinyEngine.url } });
  const through = { tiny: system.access, simulated: system.access, engine };
  for (const [name, run] of Object.entries(tests)) await t.test(`through hub and worker, ${name}`, () => run(through));
}
