import { setTimeout as sleep } from "node:timers/promises";

import type { LinkState, TunnelLog } from "@tokilake/tunnel";

import type { CommandLine } from "../command-line.ts";
import type { Config } from "../config.ts";
import { openProbeDispatcher } from "../engines/probe.ts";
import { Stop } from "../exit-code.ts";
import type { Connections } from "../hub-link.ts";
import { LIMITS } from "../limits.ts";
import { LinkLog } from "../link-log.ts";
import { linkLine, refusal } from "../link-message.ts";
import { createLog } from "../log.ts";
import { readHardware } from "../report/hardware.ts";
import type { Served } from "../report/served.ts";
import { isProcessRunning, readStatuses, StatusFile, statusFolder } from "../report/status-file.ts";
import { ServedLog } from "../served-log.ts";
import { listed, plural } from "../table.ts";
import type { TargetSource } from "../targets/target-source.ts";
import type { Target } from "../targets/target.ts";
import { startWorker, type Worker } from "../worker.ts";
import { type CommandContext, configFrom } from "./context.ts";
import { openSource } from "./open-source.ts";

/**
 * Serves until asked to stop, then drains.
 *
 * @throws ConfigError | Stop
 */
export async function run(line: CommandLine, context: CommandContext): Promise<void> {
  const config = configFrom(line, context);
  const log = createLog({
    env: context.env,
    isTerminal: context.isTerminal,
    write: (text) => context.print(text),
    now: () => context.now(),
  });
  for (const warning of config.warnings) log.warn({}, warning);
  await using closing = new AsyncDisposableStack();
  const dispatcher = closing.adopt(openProbeDispatcher(), (agent) => agent.destroy());
  const now = (): number => context.monotonicMs();
  const source = openSource({ ...config, userId: context.userId, dispatcher, now });
  await findEngines(source, line.wait, { context, log });
  const hardware = await readHardware();
  const status = closing.adopt(await openStatus(context), (file) => file.remove());
  const refused = Promise.withResolvers<never>();
  const startedAt = context.now().toISOString();
  const linkLog = new LinkLog(config.gatewayUrl, log);
  const servedLog = new ServedLog(log);
  let served: Served | undefined;
  const writeStatus = (state: LinkState, connections: Connections): void => {
    const link = linkLine(state, config.gatewayUrl, connections);
    const current = {
      ...statusOf(source),
      pid: context.pid,
      startedAt,
      link,
      ...namesOf(config),
      ...(served && { served }),
    };
    status.write(current).catch((error: unknown) => log.debug({ err: error }, "status file not written"));
  };
  const worker: Worker = startWorker(config, {
    source,
    hardware,
    software: `tokiame/${context.version}`,
    log,
    now,
    onState: (state, connections) => {
      linkLog.tell(state, connections);
      writeStatus(state, connections);
      if (state.is === "stopped" && state.reason === "refused") {
        refused.reject(refusal(state.code, state.message, config.gatewayUrl));
      }
    },
    onChange: () => writeStatus(worker.state, worker.connections),
    onServed: (now) => {
      served = now;
      servedLog.tell(now);
      writeStatus(worker.state, worker.connections);
    },
  });
  try {
    await Promise.race([context.stopAsked, refused.promise]);
    await stop(worker, config.drainMs, log);
  } finally {
    await worker.close();
  }
}

/** Resolves when all streams ended. */
async function stop(worker: Worker, drainMs: number, log: TunnelLog): Promise<void> {
  const running = [...worker.targets.values()].reduce((sum, target) => sum + target.running, 0);
  const grace = `${plural(running, "stream")} may finish within ${Math.round(drainMs / 1000)} s`;
  log.info({}, running === 0 ? "stopping" : `stopping: ${grace}; press Ctrl-C again to end now`);
  await worker.drain(drainMs);
}

async function findEngines(
  source: TargetSource,
  mayWait: boolean,
  deps: { context: CommandContext; log: TunnelLog },
): Promise<void> {
  const { context, log } = deps;
  await source.refresh();
  if (source.targets.size === 0 && !mayWait) throw noEngine(source.notes);
  for (const note of source.notes) log.warn({}, note);
  let isStopping = false;
  void context.stopAsked.then(() => (isStopping = true));
  if (source.targets.size === 0) log.info({}, "waiting for an engine on this machine");
  while (source.targets.size === 0 && !isStopping) {
    await Promise.race([context.stopAsked, sleep(LIMITS.engineWaitMs, undefined, { ref: !isStopping })]);
    await source.refresh();
  }
  for (const target of source.targets.values()) log.info({}, targetLine(target));
}

function noEngine([note]: readonly string[]): Stop {
  const found = note === undefined ? "no engine found on this machine" : `no engine to share; ${note}`;
  const otherwise = note === undefined ? "; start one (Ollama, vLLM, SGLang, llama.cpp, LM Studio)" : "";
  return new Stop("noEngine", `${found}${otherwise}, or name one in model_targets`);
}

function targetLine(target: Target): string {
  const version = target.found.version === undefined ? "" : ` ${target.found.version}`;
  const models = [...target.models.keys()];
  const shown = models.length === 0 ? "no models yet" : listed(models);
  return `serving ${target.settings.engine}${version}: ${shown} (${plural(target.slots, "slot")})`;
}

function namesOf(config: Config): { workerId: string; gatewayUrl: string } {
  // A URL may carry a user and a password.
  return { workerId: config.workerId, gatewayUrl: `${config.gatewayUrl.protocol}//${config.gatewayUrl.host}` };
}

function statusOf(source: TargetSource): {
  models: { id: string; target: string; loaded?: boolean }[];
  targets: { name: string; engine: string; running: number; slots: number }[];
} {
  const targets = [...source.targets.values()];
  return {
    targets: targets.map(({ name, settings, running, slots }) => ({ name, engine: settings.engine, running, slots })),
    models: targets.flatMap(({ name, models }) =>
      [...models.values()].map(({ id, loaded }) => ({ id, target: name, ...(loaded !== undefined && { loaded }) })),
    ),
  };
}

/** Files of workers that were killed go: somebody may restart one for ever and never ask for the status. */
async function openStatus({ home, pid }: CommandContext): Promise<StatusFile> {
  const folder = statusFolder(home);
  await readStatuses(folder, isProcessRunning);
  return new StatusFile(folder, pid);
}
