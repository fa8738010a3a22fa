import type { LinkState, TunnelLog } from "@tokilake/tunnel";

import type { Connections } from "./hub-link.ts";
import { linkLine } from "./link-message.ts";

/** Tells the owner how the link to the hub fares, in as few lines as that takes. The rest is for `debug`. */
export class LinkLog {
  readonly #hub: URL;
  readonly #log: TunnelLog;
  #wasWaiting = false;
  #lastState: LinkState | undefined;
  #lastLine = "";

  constructor(hub: URL, log: TunnelLog) {
    this.#hub = hub;
    this.#log = log;
  }

  tell(state: LinkState, connections: Connections): void {
    const line = linkLine(state, this.#hub, connections);
    const level = this.#levelOf(state, connections);
    if (state.is !== "connecting") this.#wasWaiting = state.is === "waiting";
    // A connection that was away for a moment leaves the line as it was, and that of a link that is down has no count.
    const isOld = state.is === "connected" ? line === this.#lastLine : state === this.#lastState;
    if (level !== "debug") this.#lastLine = line;
    this.#lastState = state;
    this.#log[isOld ? "debug" : level]({}, line);
  }

  #levelOf(state: LinkState, { open, wanted, isSettling }: Connections): "debug" | "info" | "warn" {
    switch (state.is) {
      case "waiting":
        return this.#levelOfWaiting(state);
      case "connected":
        if (open >= wanted) return "info";
        // One line for all of them, when they come one after the other.
        return isSettling ? "debug" : "warn";
      case "stopped":
        return "info";
      case "connecting":
      case "draining":
        return "debug";
    }
  }

  /** Of a hub that stays away, the 1st, 2nd, 4th, 8th … attempt is told. What a hub says is told each time. */
  #levelOfWaiting({ code, attempt }: Extract<LinkState, { is: "waiting" }>): "debug" | "info" | "warn" {
    if (code === "moving") return this.#wasWaiting ? "debug" : "info";
    const isAway = code === "lost" || code === "unreachable";
    const isTold = !isAway || !this.#wasWaiting || (attempt & (attempt - 1)) === 0;
    return isTold ? "warn" : "debug";
  }
}
