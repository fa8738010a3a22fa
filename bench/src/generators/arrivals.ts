/**
 * Times at which requests are due, in milliseconds from the start: on average `perSecond`, independent of each other
 * (exponential gaps), the same for the same seed.
 */
export function poissonArrivals(perSecond: number, durationMs: number, seed: number): Float64Array {
  const random = seededRandom(seed);
  const times: number[] = [];
  for (let at = gap(); at < durationMs; at += gap()) times.push(at);
  return Float64Array.from(times);

  function gap(): number {
    return (-Math.log(1 - random()) * 1000) / perSecond;
  }
}

/** Numbers from 0 to before 1 (mulberry32, public domain); not for secrets. */
function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
