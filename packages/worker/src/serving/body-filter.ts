/**
 * A stage that sees a request body pass and may change the model name in it. Synchronous and without a queue of its own,
 * so that cancelling never waits for it.
 */
export interface BodyFilter {
  /** What may go on after `chunk` arrived. The pieces may be views into `chunk`. @throws BodyProblem | ServeFailure */
  push(chunk: Uint8Array): Uint8Array[];
  /** What is left when the body ended. @throws BodyProblem | ServeFailure */
  finish(): Uint8Array[];
  /** Bytes that left minus bytes that came, of the names replaced so far. */
  readonly growth: number;
}

/** Which name the engine must read. */
export interface ModelNames {
  /** The engine's name for the model that the body calls `name`. @throws ServeFailure when it is not served here. */
  upstreamOf(name: string): string;
  /** The name to put in when the body has none; undefined leaves the body as it is. */
  readonly whenMissing: string | undefined;
}
