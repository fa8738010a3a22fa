// Loaded into a program before its own code: SIGUSR2 moves its wall clock by an hour to and fro, as a bad time server does.
// The monotonic clock stays, as it does in the kernel.
const HOUR_MS = 3_600_000;
const RealDate = Date;
let offsetMs = 0;

globalThis.Date = class extends RealDate {
  constructor(...args: [] | [number | string | Date]) {
    if (args.length === 0) super(RealDate.now() + offsetMs);
    else super(...args);
  }

  static override now(): number {
    return RealDate.now() + offsetMs;
  }
} as DateConstructor;

process.on("SIGUSR2", () => {
  offsetMs = offsetMs > 0 ? -HOUR_MS : HOUR_MS;
});
