import { waitUntil } from "../machine/ports.ts";
import type { StartedProgram } from "../machine/started-program.ts";
import { benchBody } from "./bench-models.ts";
import type { RunningSystem } from "./system.ts";

/** How long a system may take to start. Portkey takes two seconds. */
const START_MS = 60_000;

/** Waits until a chat request through `system` is answered whole. @throws Error with what the program said. */
export async function untilAnswers(system: RunningSystem, program: StartedProgram): Promise<void> {
  try {
    const options = { timeoutMs: START_MS, isOver: () => !program.isRunning };
    await waitUntil(system.name, () => answers(system), options);
  } catch (error) {
    throw new Error(`${system.name} does not answer. It said: ${program.said()}`, { cause: error });
  }
}

async function answers(system: RunningSystem): Promise<boolean> {
  const { port, path, headers } = system.target();
  const response = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: benchBody("bench-answer"),
  });
  return (await response.text()).includes("token-74") && response.status === 200;
}
