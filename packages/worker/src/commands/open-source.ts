import type { Dispatcher } from "undici";

import type { DiscoveryConfig, ModelTarget } from "../config.ts";
import { candidatePorts } from "../discovery/candidate-ports.ts";
import { listeningPorts } from "../discovery/listening-ports.ts";
import { ConfiguredTargets } from "../targets/configured-targets.ts";
import { DiscoveredTargets } from "../targets/discovered-targets.ts";
import type { TargetSource } from "../targets/target-source.ts";

export interface SourceOptions {
  readonly modelTargets: readonly ModelTarget[];
  readonly discovery: DiscoveryConfig;
  readonly gatewayUrl: URL | undefined;
  readonly userId: number | undefined;
  /** For questions to engines; stays the caller's. */
  readonly dispatcher: Dispatcher;
  readonly now: () => number;
}

/** The owner's targets when there are some, else whatever engines run here. */
export function openSource(options: SourceOptions): TargetSource {
  const { modelTargets, discovery: config, dispatcher, now } = options;
  if (modelTargets.length > 0) return new ConfiguredTargets(modelTargets, { dispatcher, now });
  return new DiscoveredTargets({ config, dispatcher, now, ports: () => portsOf(options) });
}

/** The ports that discovery looks at. */
export async function portsOf(options: Pick<SourceOptions, "discovery" | "gatewayUrl" | "userId">): Promise<number[]> {
  const { ports: only, ollamaHost } = options.discovery;
  const listening = only === undefined ? await listeningPorts(options.userId) : [];
  return candidatePorts({ only, ollamaHost, listening, gatewayUrl: options.gatewayUrl });
}
