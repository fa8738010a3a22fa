import type { Log } from "../observe/log.ts";

/** Who wants to hear of something. One that throws does not keep the others from being called. */
export class Listeners<T> {
  readonly #listeners = new Set<(news: T) => void>();
  readonly #log: Log;
  readonly #what: string;

  /** @param what What they listen to, for the log. */
  constructor(log: Log, what: string) {
    this.#log = log;
    this.#what = what;
  }

  /** Returns the unsubscribe. */
  add(listener: (news: T) => void): () => void {
    // A function of its own each time, so that two of the same listener end separately.
    const entry = (news: T): void => listener(news);
    this.#listeners.add(entry);
    return () => this.#listeners.delete(entry);
  }

  tell(news: T): void {
    for (const listener of this.#listeners) {
      try {
        listener(news);
      } catch (error) {
        this.#log.error({ error, news }, `a listener to ${this.#what} failed`);
      }
    }
  }
}
