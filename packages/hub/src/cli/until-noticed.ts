import { setTimeout as wait } from "node:timers/promises";

import type { Output } from "./command.ts";

/** Running hubs notice a change within this time (`Database.watch`). */
const NOTICED_MS = 100;

/** Resolves when a change that was just written holds in every running hub: that is when a command ends. */
export async function untilNoticed(): Promise<void> {
  await wait(NOTICED_MS);
}

/** Says what was done, once it holds in every running hub. */
export async function tellDone({ output }: { readonly output: Output }, text: string): Promise<void> {
  await untilNoticed();
  output.stderr(`${text}\n`);
}
