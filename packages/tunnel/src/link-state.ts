/** Where a worker's link to the hub stands. Each state carries what is true only in it. */
export type LinkState =
  | { readonly is: "connecting"; readonly attempt: number }
  | {
      readonly is: "waiting";
      readonly attempt: number;
      readonly retryInMs: number;
      /** For people. */
      readonly reason: string;
      /** "auth", "version", "refused:<code>", "unreachable", "lost", or "moving": a hub that is replaced still sends streams. */
      readonly code: string;
      /** HTTP status, when the hub answered the upgrade with one. */
      readonly status?: number;
    }
  | {
      readonly is: "connected";
      /** Of the protocol. 1: an original hub, which takes one connection of a worker. */
      readonly version: 1 | 2;
      readonly sessionId: string;
      readonly hubId: string;
      readonly generation: number;
    }
  | { readonly is: "draining" }
  | { readonly is: "stopped"; readonly reason: "closed" | "refused"; readonly code: string; readonly message: string };
