import type { RequestBody } from "../channels/channel.ts";

export interface UploadOptions {
  /** The client is asked for bytes that were not held. */
  readonly onRest: () => void;
  /** What was held is not any more. Once. */
  readonly onForgotten: () => void;
}

/**
 * A request's body on its way to engines: there for every attempt until the commit, and then no longer than it takes to send
 * it. A stream may go on for half an hour, and its prompt is of no use any more.
 */
export class Upload {
  readonly #body: RequestBody;
  readonly #options: UploadOptions;
  #isSpent = false;
  #isSent = false;
  #isCommitted = false;

  /** Owns `body`: takes what it holds away in the end. */
  constructor(body: RequestBody, options: UploadOptions) {
    this.#body = body;
    this.#options = options;
  }

  /** The client's bytes went on that nobody held, so they cannot be sent again. */
  get isSpent(): boolean {
    return this.#isSpent;
  }

  /** The attempt that runs now has all of it. */
  get isSent(): boolean {
    return this.#isSent;
  }

  /** The body for one attempt. */
  again(): RequestBody {
    this.#isSent = false;
    const { held, length, rest } = this.#body;
    const onSent = (): void => {
      this.#isSent = true;
      this.#forgetWhenDone();
    };
    if (rest === undefined) return { held, length, onSent };
    return { held, length, onSent, rest: () => this.#next(rest) };
  }

  /** The client has content: there will be no other attempt. */
  commit(): void {
    this.#isCommitted = true;
    this.#forgetWhenDone();
  }

  #next(rest: NonNullable<RequestBody["rest"]>): Promise<Uint8Array | undefined> {
    this.#isSpent = true;
    this.#options.onRest();
    return rest();
  }

  #forgetWhenDone(): void {
    // An engine may answer before it has all of it.
    if (!this.#isSent || !this.#isCommitted || this.#body.held === FORGOTTEN) return;
    this.#body.held = FORGOTTEN;
    this.#options.onForgotten();
  }
}

const FORGOTTEN: readonly Uint8Array[] = [];
