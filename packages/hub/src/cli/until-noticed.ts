import { setTimeout as wait } from "node:timers/promises";

/** Running hubs notice a change within this time (`Database.watch`). */
const NOTICED_MS = 100;

/** Resolves when a change that was just written holds in every running hub: that is when a command ends. */
export async function untilNoticed(): Promise<void> {
  await wait(NOTICED_MS);
}
