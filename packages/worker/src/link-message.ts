import type { LinkState } from "@tokilake/tunnel";

import { Stop } from "./exit-code.ts";
import type { Connections } from "./hub-link.ts";

/** The state of the link to the hub, in one line for the owner. */
export function linkLine(state: LinkState, hub: URL, connections?: Pick<Connections, "open" | "wanted">): string {
  switch (state.is) {
    case "connecting":
      return state.attempt > 1 ? `connecting to ${hub.host} (attempt ${state.attempt})` : `connecting to ${hub.host}`;
    case "waiting":
      if (state.code === "moving") return `${hub.host} is being replaced; running streams go on`;
      return `${waitingReason(state, hub)}; next attempt in ${seconds(state.retryInMs)}`;
    case "connected":
      return `connected to ${hub.host}${connectionCount(connections)}`;
    case "draining":
      return "draining: running streams finish, new ones go elsewhere";
    case "stopped":
      return state.reason === "closed" ? "closed" : refusal(state.code, state.message, hub).message;
  }
}

function connectionCount({ open, wanted }: Pick<Connections, "open" | "wanted"> = { open: 1, wanted: 1 }): string {
  if (open < wanted) return ` (${open} of ${wanted} connections)`;
  return open > 1 ? ` (${open} connections)` : "";
}

/** Why the hub does not take this worker, and what to do. */
export function refusal(code: string, message: string, hub: URL): Stop {
  const detail = message === "" ? code : message;
  switch (code) {
    case "auth":
      return new Stop(
        "badToken",
        `${hub.host} refused the token (${detail}); make a worker key at the hub and set it as token`,
      );
    case "version":
      // What the WebSocket client says of a 101 without a subprotocol.
      if (/no subprotocol/i.test(detail)) return unnamedVersion(hub);
      return new Stop(
        "version",
        `${hub.host} speaks no version of the tunnel that this worker speaks (${detail}); update the older one`,
      );
    case "refused:name_taken":
    case "refused:name-taken":
      return new Stop(
        "refused",
        `${hub.host} refused this worker's name (${detail}); choose another one with --namespace`,
      );
    default:
      return new Stop("refused", `${hub.host} refused this worker (${detail}); its operator can tell why`);
  }
}

/** A hub agreed to talk, and did not say in which version. */
export function unnamedVersion(hub: URL): Stop {
  return new Stop(
    "version",
    `${hub.host} names no version of the tunnel; if it is an original hub, set assume_tunnel_v1 (TOKIAME_ASSUME_TUNNEL_V1=true)`,
  );
}

function waitingReason(state: Extract<LinkState, { is: "waiting" }>, hub: URL): string {
  switch (state.code) {
    case "auth":
      // The hub says what is wrong with the key.
      return `${hub.host} refused the token (${state.reason})`;
    case "lost":
      return `connection to ${hub.host} lost (${plain(state.reason)})`;
    case "unreachable":
      return `${hub.host} is not reachable (${plain(state.reason)}); is the hub running?`;
    default:
      return `${hub.host} does not take this worker now (${state.reason})`;
  }
}

/** The system's and the tunnel's words, for people. */
function plain(reason: string): string {
  if (reason.includes("ECONNREFUSED")) return "connection refused";
  if (reason.includes("ENOTFOUND") || reason.includes("EAI_AGAIN")) return "no such host";
  if (reason.includes("ETIMEDOUT")) return "no answer";
  return reason.replace(/^worker-lost: /, "");
}

function seconds(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${Math.round(ms / 1000)} s`;
}
