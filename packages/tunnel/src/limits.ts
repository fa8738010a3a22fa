const KIB = 1024;
const MIB = 1024 * KIB;

/** Every bound of the tunnel, as data. `TUNNEL_LIMITS` says what each is for. */
export type TunnelLimits = { readonly [K in keyof typeof TUNNEL_LIMITS]: number };

/**
 * Every bound the tunnel enforces, with its unit, its reason and the worst case. Times are milliseconds of a monotonic
 * clock. Both `createTunnelServer` and `connectTunnel` take others through `limits`.
 */
export const TUNNEL_LIMITS = {
  /** Streams that the peer may hold open on one session. Worst case: this times `initialWindowBytes` (64 MiB) of bodies. */
  maxStreams: 256,
  /** Bytes a peer may send on a fresh stream before we consumed any. A stall budget: 15 s of a fast token stream. */
  initialWindowBytes: 256 * KIB,
  /** A window grows up to here: 1 Gbit/s over 100 ms. Worst case per stream; the sum of all is bounded by the pool. */
  maxWindowBytes: 16 * MIB,
  /** Window bytes above `initialWindowBytes`, of all streams of all sessions of one server or client together. */
  poolBytes: 256 * MIB,
} as const;
