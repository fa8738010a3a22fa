import { AppError } from "../errors.ts";

/** Live events of the admin API. */
export const EVENT_LIMITS = {
  /** Streams open at once. Worst case: this times `maxWaiting` and `maxWaitingBytes`. */
  maxSubscribers: 1_000,
  /** Of one user. */
  maxPerUser: 10,
  /** Events that one subscriber has not taken yet. One more ends the stream: whoever is so slow has to read anew anyway. */
  maxWaiting: 256,
  /** Characters of the same. */
  maxWaitingBytes: 256 * 1024,
  /** A comment goes out this often, so that proxies keep the connection and dead ones are noticed. */
  keepAliveMs: 15_000,
  /** After a change in the database it is looked so often at most whether subscribers still may see what they see. */
  recheckMs: 1_000,
} as const;

/** Something that happened, and whose business it is. */
export interface HubEvent {
  /** Noun and verb: `worker.connected`. */
  readonly type: string;
  /** The same for everybody, or what each may see of it. */
  readonly data: EventData | ((viewer: Viewer) => EventData);
  /** Users that it is about. */
  readonly userIds: readonly (string | undefined)[];
  /** Groups whose members may see it. */
  readonly groupIds: readonly string[];
  /** Groups whose owner may see it. */
  readonly ownersOf?: readonly string[];
}

type EventData = Readonly<Record<string, unknown>>;

/** What a subscriber may see, as it is now. */
export interface Viewer {
  readonly userId: string;
  readonly seesAll: boolean;
  readonly groupIds: ReadonlySet<string>;
  readonly ownedGroupIds: ReadonlySet<string>;
  /** Differs when role, scopes or sign-in are others: then the stream ends, and the client asks anew. */
  readonly rights: string;
}

export interface Subscriber {
  readonly viewer: Viewer;
  /** What it may see now; undefined: nothing any more, as the sign-in or the token ended. */
  readonly refresh: () => Promise<Viewer | undefined>;
  /** `Last-Event-ID`: it was here before. */
  readonly lastEventId: string | undefined;
}

/** Where parts of the hub say what happened, and subscribers hear what is their business. Nothing is kept for later. */
export class EventHub implements Disposable {
  readonly #subscriptions = new Set<Subscription>();
  /** So that an id of another run is none of ours. */
  readonly #run: string;
  readonly #onFailure: (thrown: unknown) => void;
  #lastNumber = 0;
  #keepAlive: NodeJS.Timeout | undefined;
  #recheck: NodeJS.Timeout | undefined;
  /** A round runs: one at a time, as an older answer must not come after a newer one. */
  #isRechecking = false;
  #isStale = false;
  #isClosed = false;

  /** @param run Different each time the hub starts. */
  constructor(run: string, onFailure: (thrown: unknown) => void) {
    this.#run = run;
    this.#onFailure = onFailure;
  }

  /** Whether anybody listens: without, an event need not be made. */
  get isHeard(): boolean {
    return this.#subscriptions.size > 0;
  }

  get size(): number {
    return this.#subscriptions.size;
  }

  publish(event: HubEvent): void {
    if (this.#subscriptions.size === 0) return;
    this.#lastNumber += 1;
    const { type, data } = event;
    const id = `${this.#run}-${this.#lastNumber}`;
    const same = typeof data === "function" ? undefined : eventText(type, data, id);
    for (const subscription of this.#subscriptions) {
      const { viewer } = subscription;
      if (maySee(viewer, event)) subscription.push(same ?? eventText(type, dataFor(viewer, event), id));
    }
  }

  /**
   * The text of an event stream: first `ready`, or `reset` for one that was here before, as nothing of what it missed is kept; then
   * events until it ends with the event `end`. The caller takes it, and gives it up with `return`.
   *
   * @throws AppError `rate_limit_exceeded` or `overloaded` when too many are open.
   */
  subscribe(subscriber: Subscriber): AsyncIterable<string> & AsyncIterator<string> {
    if (this.#isClosed) throw new AppError("shutting_down", undefined, { retryAfter: 5 });
    if (this.#subscriptions.size >= EVENT_LIMITS.maxSubscribers) throw new AppError("overloaded");
    const own = [...this.#subscriptions].filter(({ viewer }) => viewer.userId === subscriber.viewer.userId);
    if (own.length >= EVENT_LIMITS.maxPerUser) {
      const message = `You have ${EVENT_LIMITS.maxPerUser} event streams open. Close one first.`;
      throw new AppError("rate_limit_exceeded", message, { retryAfter: 5 });
    }
    const subscription = new Subscription(subscriber, () => this.#remove(subscription));
    this.#subscriptions.add(subscription);
    this.#keepAlive ??= setInterval(() => this.#onKeepAlive(), EVENT_LIMITS.keepAliveMs).unref();
    const type = subscriber.lastEventId === undefined ? "ready" : "reset";
    subscription.push(eventText(type, {}, `${this.#run}-${this.#lastNumber}`));
    return subscription;
  }

  /** The database changed: perhaps what somebody may see, too. */
  recheckSoon(): void {
    if (this.#subscriptions.size === 0 || this.#isClosed) return;
    this.#isStale = this.#isRechecking;
    if (this.#isRechecking) return;
    this.#recheck ??= setTimeout(() => void this.#recheckAll(), EVENT_LIMITS.recheckMs).unref();
  }

  /** Every stream ends; clients come back to whatever hub there is then. */
  [Symbol.dispose](): void {
    this.#isClosed = true;
    for (const subscription of this.#subscriptions) subscription.end("shutting-down");
    clearTimeout(this.#recheck);
  }

  #remove(subscription: Subscription): void {
    this.#subscriptions.delete(subscription);
    if (this.#subscriptions.size > 0) return;
    clearInterval(this.#keepAlive);
    this.#keepAlive = undefined;
  }

  /** Sign-ins and memberships also end by time alone, with no change in the database. */
  #onKeepAlive(): void {
    for (const subscription of this.#subscriptions) subscription.push(": keep-alive\n\n");
    this.recheckSoon();
  }

  async #recheckAll(): Promise<void> {
    this.#recheck = undefined;
    this.#isRechecking = true;
    for (const subscription of this.#subscriptions) {
      try {
        await subscription.recheck();
      } catch (thrown) {
        // The database failed: what was true stays until it can be read again.
        this.#onFailure(thrown);
      }
      // A thousand look-ups in a row would hold up requests.
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.#isRechecking = false;
    // What changed meanwhile may have been read before it did.
    if (this.#isStale) this.recheckSoon();
  }
}

/** One subscriber's events that it has not taken yet. */
class Subscription implements AsyncIterableIterator<string> {
  readonly #subscriber: Subscriber;
  readonly #onEnd: () => void;
  readonly #waiting: string[] = [];
  #waitingBytes = 0;
  #taker: ((result: IteratorResult<string, undefined>) => void) | undefined;
  #viewer: Viewer;
  #hasEnded = false;

  constructor(subscriber: Subscriber, onEnd: () => void) {
    this.#subscriber = subscriber;
    this.#viewer = subscriber.viewer;
    this.#onEnd = onEnd;
  }

  get viewer(): Viewer {
    return this.#viewer;
  }

  push(text: string): void {
    if (this.#hasEnded) return;
    if (this.#taker !== undefined) {
      const take = this.#taker;
      this.#taker = undefined;
      take({ done: false, value: text });
      return;
    }
    const isFull =
      this.#waiting.length >= EVENT_LIMITS.maxWaiting ||
      this.#waitingBytes + text.length > EVENT_LIMITS.maxWaitingBytes;
    if (isFull) return this.end("too-slow");
    this.#waiting.push(text);
    this.#waitingBytes += text.length;
  }

  /** What waits is still taken, and then why it ended. */
  end(reason: "signed-out" | "rights-changed" | "too-slow" | "shutting-down"): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#onEnd();
    const text = eventText("end", { reason });
    const take = this.#taker;
    this.#taker = undefined;
    if (take === undefined) this.#waiting.push(text);
    else take({ done: false, value: text });
  }

  async recheck(): Promise<void> {
    const viewer = await this.#subscriber.refresh();
    if (viewer === undefined) return this.end("signed-out");
    if (viewer.rights !== this.#viewer.rights) return this.end("rights-changed");
    this.#viewer = viewer;
  }

  next(): Promise<IteratorResult<string, undefined>> {
    const text = this.#waiting.shift();
    if (text !== undefined) {
      this.#waitingBytes -= text.length;
      return Promise.resolve({ done: false, value: text });
    }
    if (this.#hasEnded) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => {
      this.#taker = resolve;
    });
  }

  /** The reader went away. */
  return(): Promise<IteratorResult<string, undefined>> {
    if (!this.#hasEnded) this.#onEnd();
    this.#hasEnded = true;
    this.#waiting.length = 0;
    this.#taker?.({ done: true, value: undefined });
    this.#taker = undefined;
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

function dataFor(viewer: Viewer, { data }: HubEvent): EventData {
  return typeof data === "function" ? data(viewer) : data;
}

function maySee(viewer: Viewer, { userIds, groupIds, ownersOf = [] }: HubEvent): boolean {
  return (
    viewer.seesAll ||
    userIds.includes(viewer.userId) ||
    groupIds.some((id) => viewer.groupIds.has(id)) ||
    ownersOf.some((id) => viewer.ownedGroupIds.has(id))
  );
}

/** Server-sent events (HTML Standard §9.2). The data is one line: JSON has its line breaks escaped. */
function eventText(type: string, data: object, id?: string): string {
  return `${id === undefined ? "" : `id: ${id}\n`}event: ${type}\ndata: ${JSON.stringify(data)}\n\n`;
}
