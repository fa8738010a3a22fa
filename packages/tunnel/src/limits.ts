const KIB = 1024;
const MIB = 1024 * KIB;
const SECOND = 1000;

/** Every bound of the tunnel, as data. {@link TUNNEL_LIMITS} says what each is for. */
export type TunnelLimits = { readonly [K in keyof typeof TUNNEL_LIMITS]: number };

/**
 * Every bound the tunnel enforces, with its unit, its reason and its worst case. Times are milliseconds of a monotonic
 * clock. `createTunnelServer` and `connectTunnel` take other values through `limits`. Sizes that are part of the wire
 * format itself are in `WIRE_LIMITS`.
 */
export const TUNNEL_LIMITS = {
  /** Streams that the peer may hold open on one session. Worst case: this times `initialWindowBytes` (64 MiB) of bodies. */
  maxStreams: 256,
  /** Streams closed on the wire whose bytes our reader has not read yet. Worst case as for `maxStreams`. */
  maxLingeringStreams: 1024,
  /** A session whose ids get here is replaced by a new one: 24 days at 1,000 requests/s. */
  lastStreamId: 2 ** 32 - 2 ** 16,
  /** Bytes a peer may send on a fresh stream before we consumed any. A stall budget: 15 s of a fast token stream. */
  initialWindowBytes: 256 * KIB,
  /** A window grows up to here: 1 Gbit/s over 100 ms. Worst case per stream; the sum of all is bounded by `poolBytes`. */
  maxWindowBytes: 16 * MIB,
  /** Window bytes above `initialWindowBytes`, of all streams of all sessions of one server or client together. */
  poolBytes: 256 * MIB,
  /** `write` says false when so many bytes of a stream wait to be sent. Worst case: `maxStreams` times this. */
  sendQueueBytes: 64 * KIB,
  /** A writer that ignores `false` loses its stream here. One single larger write is accepted. */
  maxSendQueueBytes: 64 * MIB,
  /** Bytes handed to the socket and not yet sent. More would put a PING behind megabytes of somebody's video. */
  carrierBytes: 128 * KIB,
  /** Control frames waiting behind a full socket. A peer that does not read, and makes us answer, is dropped here. */
  maxUrgentBytes: 1 * MIB,
  /** An interactive stream that sends more in one second is scheduled as bulk until it calms. */
  interactiveBytesPerSecond: 256 * KIB,

  /** HTTP upgrade with `authenticate`, and again HELLO with REGISTER: each must be done in this time. */
  handshakeMs: 10 * SECOND,
  /** Both ends ask so often, +-20 %, whether the other is there. Below the 60 s of common proxies. */
  pingEveryMs: 15 * SECOND,
  /** Nothing received for so long: the peer is dead. Two missed pings. It is looked at once a second, so that 35 s hold. */
  deadAfterMs: 34 * SECOND,
  /** After a suspended laptop wakes, the peer gets so long to answer before it is judged. */
  wakeGraceMs: 10 * SECOND,
  /** Bytes wait in the socket and none leaves for so long: the connection is dead. */
  writeStallMs: 30 * SECOND,
  /** Data waits and the reader consumes none for so long: the stream is reset, so that the GPU is freed. */
  slowConsumerMs: 60 * SECOND,
  /** The same when the window pool is nearly used up and the stream holds more than 1 MiB. */
  slowConsumerPressedMs: 10 * SECOND,
  /** We have data to send and the peer gives no credit for so long. Twice its own rule for slow readers. */
  creditWaitMs: 120 * SECOND,
  /** Data that was under way when we reset a stream is accepted for so long, up to the credit it had. */
  lateDataMs: 30 * SECOND,

  /** Received PINGs; we send one every 15 s. */
  pingsPerSecond: 10,
  /** Received CREDITs on top of one per 4 KiB, or quarter of its window, of data that we sent; most peers need one per 16 KiB. */
  creditsPerSecond: 100,
  /** Frames of types that we do not know. Ignored, so that a newer peer may use them. */
  unknownFramesPerSecond: 100,
  /** Frames for streams that are closed. A burst is normal after many resets. */
  lateFramesPerSecond: 1000,
  /** Received CONTROL messages. */
  controlsPerSecond: 20,
  /** Bytes of received CONTROL messages, and how many at once. A list of 5,000 models takes 5 ms to read: 160 KiB. */
  controlBytesPerSecond: 32 * KIB,
  controlBurstBytes: 512 * KIB,
  /** Empty DATA frames on one stream. */
  emptyFramesPerSecond: 10,
  /** Streams that we had to refuse or reset through the peer's fault, in 10 s. */
  faultsPer10Seconds: 100,
  /** DATA beyond credit: so many streams are reset before the whole session is. */
  maxCreditFaults: 2,
  /** Streams that the peer opened and then reset, in 10 s. High: a hub whose clients all hang up is no attacker. */
  resetsPer10Seconds: 5000,
  /** OPEN frames of a worker. Nothing serves them in this version. */
  workerOpensPerSecond: 10,

  /** Sessions of one server: 10,000 workers, which have two, and those who take over from another. About 20 KB each. */
  maxSessions: 25_000,
  /** Sockets in the upgrade or without REGISTER, so far. A flood of strangers costs at most this times 20 KB. */
  maxPendingSessions: 1024,
  /** Of those, from one network: an IPv4 address or the /64 of an IPv6 one. */
  maxPendingPerNetwork: 512,
  /** Of those, of one owner (`ownerOf`, such as the key). Fewer, so that one key does not lock its neighbours out. */
  maxPendingPerOwner: 128,
  /** Connections of one owner, registered or not. A worker has two, so these are 500 workers. */
  maxSessionsPerOwner: 1000,
  /** Upgrades of one owner, and how many at once: all its workers come back when a hub restarts. */
  connectsPerSecondPerOwner: 20,
  connectBurstPerOwner: 256,
  /** A superseded session gets so long for its running streams. */
  supersedeGraceMs: 5 * SECOND,
  /** A session that leaves anyway, as its ids are used up or its worker said so: so long for those that still run. */
  leavingGraceMs: 1800 * SECOND,
  /** Take-overs by another instance in `takeOverWindowMs`; then the newer is refused: two processes use one worker id. */
  maxTakeOvers: 3,
  takeOverWindowMs: 60 * SECOND,
  /** The refused one waits so long. */
  duplicateInstanceRetryMs: 300 * SECOND,

  /** Back-off of a worker: random(0, min(`maxRetryMs`, `firstRetryMs` * 2^n)). */
  firstRetryMs: 250,
  maxRetryMs: 30 * SECOND,
  /** A session that lived so long resets the back-off. */
  stableAfterMs: 60 * SECOND,
  /** Wait after 401 or 403: only a person can mend it. */
  authRetryMs: 300 * SECOND,
  /** No Retry-After or reconnectAfter of a hub makes a worker wait longer. */
  maxRetryAfterMs: 600 * SECOND,

  /** Protocol v1, both sides. One control line: 5,000 models of 50 characters. */
  v1ControlLineBytes: 256 * KIB,
  /** One line of an answer. A chunk of 32 KiB needs 44; old video answers came whole. Bounded by `v1StoredBytes` in sum. */
  v1AnswerLineBytes: 8 * MIB,
  /** Body of one request. An original worker holds about 2.3 times of it, as the whole body is one line in base64. */
  v1RequestBodyBytes: 64 * MIB,
  /** Bodies larger than `v1LargeBodyBytes` that are sent to one worker at a time. The next ones wait for their turn. */
  v1LargeBodies: 2,
  v1LargeBodyBytes: 1 * MIB,
  /** Unread bytes of one answer. v1 cannot slow the worker down, so above it the request is cancelled. */
  v1StreamStoreBytes: 4 * MIB,
  /** Unread bytes and half lines of all streams of one session; then the largest stream is cancelled. */
  v1StoredBytes: 64 * MIB,
  /** Half and unread requests of all streams of one session at our worker: two of the largest. */
  v1RequestStoreBytes: 192 * MIB,
  /** A worker must have registered by then, as with the original hub. */
  v1RegisterMs: 30 * SECOND,
  /** Nothing came from a registered worker, which sends a heartbeat every 15 s: it is dead. */
  v1SilenceMs: 45 * SECOND,
  /** The hub answers `register` and `models_sync` by then. */
  v1AckMs: 15 * SECOND,
  /** Cancelled requests that the worker has not ended yet. More: the oldest is forgotten. */
  v1MaxCancelled: 1024,
} as const;

/** Sizes that belong to the wire format: changing one is a new version of the protocol. */
export const WIRE_LIMITS = {
  /** The length field has 16 bits, so a longer frame cannot be written. */
  maxPayloadBytes: 65_535,
  /** DATA payload while more than one stream is active: 6.5 ms of a 20 Mbit/s up-link for the token behind it. */
  turnBytes: 16 * KIB,
  /** One carrier message: the largest frame and nothing else. */
  maxSendMessageBytes: 65_543,
  /** Accepted from the peer. Larger: the WebSocket closes with 1009 before it is buffered. */
  maxReceiveMessageBytes: 1 * MIB,
  /** WebSocket fragments of one message. Original Go workers send 9 for 32 KiB. */
  maxFragments: 1024,
  /** Pieces of one message that wait for its end; tiny fragments would cost memory far above their bytes. */
  maxBufferedChunks: 16_384,
  /** JSON of a HELLO. */
  helloBytes: 16 * KIB,
  /** JSON of TRAILERS. */
  trailersBytes: 16 * KIB,
  /** JSON of one CONTROL message, all its pieces. Worst case: this for each session. */
  controlBytes: 256 * KIB,
  /** Nesting of a CONTROL message's JSON. */
  controlDepth: 16,
  /** Headers of one OPEN or HEAD; both are one frame, so the whole is at most 64 KiB. */
  headerPairs: 128,
  /** Characters of a header's name. */
  headerNameLength: 256,
  /** Characters of a header's value. */
  headerValueLength: 16 * KIB,
  /** Characters of an OPEN's path and query together. */
  pathLength: 8 * KIB,
  /** 1xx heads in front of the real one. */
  interimHeads: 8,
  /** Text of a RESET, for logs only. */
  resetTextBytes: 256,
  /** A larger offset cannot be told exactly in a JavaScript number. */
  maxOffset: Number.MAX_SAFE_INTEGER,
} as const;
