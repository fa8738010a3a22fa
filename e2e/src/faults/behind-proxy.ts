import type { TestContext } from "node:test";

import { FaultProxy } from "../fault-proxy.ts";
import { System } from "../system.ts";

/** A system whose worker dials through a line that can be made bad. Its models: "simulated" and "only-a". */
export interface BehindProxy extends AsyncDisposable {
  readonly system: System;
  readonly proxy: FaultProxy;
}

export async function startBehindProxy(t: TestContext): Promise<BehindProxy> {
  await using closing = new AsyncDisposableStack();
  const system = closing.use(await System.start(t, { worker: false }));
  const proxy = closing.use(await FaultProxy.start({ port: system.hub.port }));
  const models = { simulated: system.engine.url, "only-a": system.engine.url };
  await system.addWorker("worker-a", { hubUrl: proxy.url, models });
  await system.listing("simulated", "only-a");
  const moved = closing.move();
  return { system, proxy, [Symbol.asyncDispose]: () => moved[Symbol.asyncDispose]() };
}
