export { TUNNEL_LIMITS, type TunnelLimits } from "./limits.ts";
export type { LinkState } from "./link-state.ts";
export { connectTunnel, type TunnelClient, type TunnelClientOptions } from "./client/tunnel-client.ts";
export { TunnelError, type TunnelErrorCode, type TunnelErrorOptions } from "./tunnel-error.ts";
export type { TunnelLog } from "./tunnel-log.ts";
export { TunnelRefusal, type TunnelRefusalOptions } from "./tunnel-refusal.ts";
export {
  createTunnelServer,
  type TunnelPeer,
  type TunnelServer,
  type TunnelServerOptions,
} from "./server/tunnel-server.ts";
export type { Registration, TunnelSession } from "./tunnel-session.ts";
export { closeReason, type WebSocketClose } from "./websocket/message-record.ts";
export {
  BRIDGED_WEBSOCKET_OPTIONS,
  type BridgeEnd,
  type BridgeOptions,
  bridgeWebSocket,
  type PassingMessage,
} from "./websocket/websocket-bridge.ts";
export type { HeaderPairs, ResetOptions, ResponseHead, StreamOpening, TunnelStream } from "./tunnel-stream.ts";
