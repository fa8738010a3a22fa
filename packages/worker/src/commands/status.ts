import { refusedTexts, servedTexts } from "../report/served-text.ts";
import { isProcessRunning, readStatuses, statusFolder, type WorkerStatus } from "../report/status-file.ts";
import { plural, table } from "../table.ts";
import type { CommandContext } from "./context.ts";

/** Shows the workers of this user that run now. */
export async function status(context: CommandContext): Promise<void> {
  const workers = await readStatuses(statusFolder(context.home), isProcessRunning);
  if (workers.length === 0) context.print("no worker runs on this machine; start one with: tokiame run\n");
  for (const worker of workers) context.print(workerText(worker));
}

function workerText(worker: WorkerStatus): string {
  const running = worker.targets.reduce((sum, target) => sum + target.running, 0);
  const rows = [
    ["hub", worker.link],
    ["since", new Date(worker.startedAt).toLocaleString("sv-SE")],
    ["running", plural(running, "stream")],
    ...worker.targets.map((target) => [
      "target",
      `${target.name}  ${target.engine}, ${target.running} of ${plural(target.slots, "slot")} in use`,
    ]),
    ...worker.models.map((model) => [
      "model",
      `${model.id}  on ${model.target}${model.loaded === true ? ", loaded" : ""}`,
    ]),
    ...(worker.served === undefined ? [] : servedTexts(worker.served)).map((text) => ["served", text]),
    ...(worker.served === undefined ? [] : refusedTexts(worker.served)).map((text) => ["not served", text]),
  ];
  return `${worker.workerId} (process ${worker.pid})\n${table(rows)}`;
}
