/** What this worker holds at most, and how long it waits at most. Each is a default; those an owner may set say so. */
export const LIMITS = {
  /** Request body bytes of one stream (`max_body_bytes`). A bound on disk and network use, not on memory: bodies stream. */
  maxBodyBytes: 512 * 1024 * 1024,
  /** A body up to this size is read whole before the engine is called, so that its new length is known after a rewrite.
   *  Memory: this times the slots of all targets. */
  maxBufferedBodyBytes: 1024 * 1024,
  /** Bytes of a model name as written in a body. A longer one is never a published name. */
  maxModelNameBytes: 4 * 1024,
  /** Bytes of the headers of one multipart part. */
  maxPartHeaderBytes: 16 * 1024,
  /** Connecting to an engine. Nothing was sent when it runs out, so another worker may try. */
  connectTimeoutMs: 5_000,
  /** From the sent request to the head. Long: an answer that is not streamed has its head after the last token. */
  headTimeoutMs: 600_000,
  /** From the connection to the engine's answer to a WebSocket handshake, which no model has to work for. */
  webSocketHandshakeMs: 10_000,
  /** Between two pieces of an answer. A loaded engine may think for minutes before the next one. */
  idleTimeoutMs: 300_000,
  /** One question of discovery to one port (sharing study, 5.1: without side effects, quick, small). */
  probeTimeoutMs: 400,
  maxProbeBytes: 64 * 1024,
  /** A question to an engine that is already known: model lists of large shops are longer. */
  knownEngineTimeoutMs: 2_000,
  maxKnownEngineBytes: 2 * 1024 * 1024,
  /** Ports asked at the same time during discovery. */
  maxProbesAtOnce: 16,
  /** Own listening sockets on loopback that are asked besides the well-known ports. */
  maxExtraPorts: 64,
  /** A model of a longer name is not published: a hub takes none, and would refuse all the others with it. */
  maxPublishedNameBytes: 256,
  /** Models announced by one worker; the rest is left out. */
  maxModels: 2_000,
  /** Of the models in one announcement. A control message of the tunnel takes 256 KiB in all. */
  maxModelListBytes: 200 * 1024,
  /** Time between two looks at the engines' models. */
  refreshMs: 30_000,
  /** Time between two looks while there is no engine at all (`--wait`). */
  engineWaitMs: 5_000,
  /** Time between two load reports while something runs. */
  loadReportMs: 1_000,
  /** How many looks in a row must fail before an engine's models are withdrawn: a busy engine misses one. */
  missesUntilGone: 2,
  /** To the hub at the same time (`connections`): one for uploads, one for the rest. */
  connections: 2,
  /** More connections would only share the same line. Memory: each has its own `poolBytes`. */
  maxConnections: 8,
  /** Time that running streams get after the first signal (`drain_seconds`). */
  drainMs: 30_000,
  /** One question of `tokiame join` to the hub, connect to last byte. */
  hubCallTimeoutMs: 10_000,
  maxHubAnswerBytes: 64 * 1024,
  /** `tokiame join` waits so long for its person; the hub gives up after ten minutes. */
  joinWaitMs: 620_000,
  /** The longest pause between two questions, whatever the hub asks for. */
  maxJoinPollMs: 60_000,
  /** `nvidia-smi` may hang on a broken driver. */
  gpuQueryTimeoutMs: 2_000,
} as const;
