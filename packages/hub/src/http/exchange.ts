import type { IncomingMessage } from "node:http";

import type { Reply } from "./reply.ts";

/** One request and its answer, as a handler gets them. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly reply: Reply;
  /** As it came, never repaired or decoded. Without the query. */
  readonly path: string;
  /** Without "?"; "" when there is none. */
  readonly query: string;
  /** Tells a client that waits for it (`Expect: 100-continue`, RFC 9110 §10.1.1) to send its body. */
  askForBody(): void;
}

/** Answers one request, or throws AppError. */
export type Handler = (exchange: Exchange) => Promise<void> | void;
