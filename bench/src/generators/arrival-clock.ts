// A thread that says when a request is due. Node's timers count whole milliseconds, five times what is to be measured;
// waiting on an atomic is exact to the kernel's 50 µs and leaves the core to others.
import { parentPort, workerData } from "node:worker_threads";

/** What the thread is given. */
export interface ArrivalClockData {
  /** On the clock of `monotonicMs`. */
  readonly startMs: number;
  readonly arrivals: Float64Array;
}

/** Milliseconds of a clock that all threads share. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

if (parentPort !== null) {
  const { startMs, arrivals } = workerData as ArrivalClockData;
  const never = new Int32Array(new SharedArrayBuffer(4));
  for (const [index, arrival] of arrivals.entries()) {
    const left = startMs + arrival - monotonicMs();
    if (left > 0) Atomics.wait(never, 0, 0, left);
    parentPort.postMessage(index);
  }
}
