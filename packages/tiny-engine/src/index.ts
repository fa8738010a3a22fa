export type { ListeningServer, ListenOptions } from "./http/listening-server.ts";
export { type Behaviour } from "./simulated/behaviour.ts";
export type { EngineIdentityName } from "./simulated/engine-identity.ts";
export type { RecordedRequest, RequestCounts, RequestOutcome, RequestPredicate } from "./simulated/request-record.ts";
export {
  type SimulatedEngine,
  type SimulatedEngineOptions,
  startSimulatedEngine,
} from "./simulated/simulated-engine.ts";
export { startTinyEngine, type TinyEngine, type TinyEngineOptions } from "./real/tiny-engine.ts";
