import type { TunnelError } from "../tunnel-error.ts";
import type { ResponseHead } from "../tunnel-stream.ts";

/** What those who hold a stream wait for: its head, room to write, its early end. */
export class StreamLife {
  error: TunnelError | undefined;
  /** Ended, in whatever way. */
  isClosed = false;
  #responseHead: ResponseHead | undefined;
  #headWaiter: PromiseWithResolvers<ResponseHead> | undefined;
  #roomWaiter: PromiseWithResolvers<void> | undefined;
  #abort: AbortController | undefined;

  get responseHead(): ResponseHead | undefined {
    return this.#responseHead;
  }

  get head(): Promise<ResponseHead> {
    if (this.#headWaiter === undefined) {
      this.#headWaiter = Promise.withResolvers<ResponseHead>();
      // A head that nobody awaits must not end the process.
      this.#headWaiter.promise.catch(ignore);
      if (this.#responseHead !== undefined) this.#headWaiter.resolve(this.#responseHead);
      else if (this.error !== undefined) this.#headWaiter.reject(this.error);
    }
    return this.#headWaiter.promise;
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.error !== undefined) this.#abort.abort(this.error);
    }
    return this.#abort.signal;
  }

  onHead(head: ResponseHead): void {
    this.#responseHead = head;
    this.#headWaiter?.resolve(head);
  }

  /** @param hasRoom Whether a write would be taken now. */
  drained(hasRoom: boolean): Promise<void> {
    if (this.error !== undefined) {
      const failed = Promise.reject(this.error);
      failed.catch(ignore);
      return failed;
    }
    if (hasRoom || this.isClosed) return Promise.resolve();
    if (this.#roomWaiter === undefined) {
      this.#roomWaiter = Promise.withResolvers<void>();
      this.#roomWaiter.promise.catch(ignore);
    }
    return this.#roomWaiter.promise;
  }

  onRoom(): void {
    this.#roomWaiter?.resolve();
    this.#roomWaiter = undefined;
  }

  /** It ended as it should. */
  close(): void {
    this.isClosed = true;
    this.onRoom();
  }

  /** It ended early. Whoever holds the stream must have settled its own state before: this calls listeners. */
  fail(error: TunnelError): void {
    this.error = error;
    this.isClosed = true;
    this.#headWaiter?.reject(error);
    this.#roomWaiter?.reject(error);
    this.#abort?.abort(error);
  }
}

function ignore(): void {
  // The stream's own state tells the same.
}
