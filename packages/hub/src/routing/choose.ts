/** What routing looks at. Less than a target, so that a test can write one down. */
export interface Candidate {
  /** Requests it runs at once; undefined: unknown. */
  readonly slots: number | undefined;
  /** Our requests on it now. */
  readonly inFlight: number;
  readonly reported: { readonly running: number | undefined; readonly waiting: number | undefined } | undefined;
}

/** For a target that does not say how much it can take: what engines commonly start with. */
const ASSUMED_SLOTS = 4;

/** Whether it can start one more now. One that does not know its slots always may be asked: its worker refuses if need be. */
export function hasFreeSlot(candidate: Candidate): boolean {
  return candidate.slots === undefined || candidate.inFlight < candidate.slots;
}

/**
 * The candidate with the least work per slot, or undefined when there is none.
 *
 * A coin decides between equals: two idle ones must not both be passed over for whichever connected first.
 *
 * @param random A number in [0, 1).
 */
export function chooseLeastLoaded<C extends Candidate>(candidates: Iterable<C>, random: () => number): C | undefined {
  let best: C[] = [];
  let bestLoad = Infinity;
  for (const candidate of candidates) {
    const load = loadOf(candidate);
    if (load > bestLoad) continue;
    if (load < bestLoad) best = [];
    bestLoad = load;
    best.push(candidate);
  }
  return best.length === 1 ? best[0] : best[Math.floor(random() * best.length)];
}

/** Work per slot. What the worker reports counts where it is more than we gave it: its owner uses the engine, too. */
function loadOf({ slots, inFlight, reported }: Candidate): number {
  const running = Math.max(inFlight, reported?.running ?? 0);
  return (running + (reported?.waiting ?? 0)) / (slots ?? ASSUMED_SLOTS);
}
