import { argon2, randomBytes, timingSafeEqual } from "node:crypto";

import { AppError } from "../errors.ts";

/** Argon2id as OWASP's password storage sheet asks for; 50 ms and 19 MiB each. */
const PARAMETERS = { memory: 19_456, passes: 2, parallelism: 1, tagLength: 32 } as const;
const SALT_BYTES = 16;

/** What a flood of sign-ins may cost the hub. */
export const HASHING = {
  /** Hashes at once: 40 MiB, and half of Node's four threads are left for files and DNS. */
  atOnce: 2,
  /** In each of the two queues, of known devices and of strangers: 0.8 s. Whoever comes then is told to come back. */
  maxWaiting: 32,
  /** When. */
  retryAfterSeconds: 2,
} as const;

/** Devices that signed in before wait in a queue of their own, which goes first: strangers cannot keep owners out. */
export type HashingLane = "known-device" | "stranger";

interface Argon2Input {
  readonly password: string;
  readonly salt: Buffer;
  readonly memory: number;
  readonly passes: number;
  readonly parallelism: number;
  readonly tagLength: number;
}

export type DeriveKey = (input: Argon2Input) => Promise<Buffer>;

/** Hashes and checks passwords, off the event loop and never more at once than the hub can stand. */
export class PasswordHasher {
  readonly #derive: DeriveKey;
  readonly #waiting: Record<HashingLane, (() => void)[]> = { "known-device": [], stranger: [] };
  #running = 0;

  /** @param derive For tests. */
  constructor(derive: DeriveKey = argon2id) {
    this.#derive = derive;
  }

  /**
   * A PHC string to keep.
   *
   * @throws AppError `overloaded` when too many wait already.
   */
  async hash(password: string, lane: HashingLane = "known-device"): Promise<string> {
    const salt = randomBytes(SALT_BYTES);
    const { memory, passes, parallelism } = PARAMETERS;
    const tag = await this.#inTurn(lane, () => this.#derive({ password, salt, ...PARAMETERS }));
    return `$argon2id$v=19$m=${memory},t=${passes},p=${parallelism}$${base64(salt)}$${base64(tag)}`;
  }

  /**
   * Whether `password` is the one that was hashed. Without a hash, or for a password that cannot be one, the same work is done for
   * nothing: how long it takes tells nobody whether there is such a user.
   *
   * @throws AppError `overloaded` when too many wait already.
   */
  async verify(password: string | undefined, phc: string | undefined, lane: HashingLane): Promise<boolean> {
    const kept = (phc === undefined ? undefined : parsePhc(phc)) ?? NOBODY;
    const tag = await this.#inTurn(lane, () =>
      this.#derive({ ...kept.parameters, password: password ?? "", salt: kept.salt, tagLength: kept.tag.length }),
    );
    const isSame = timingSafeEqual(tag, kept.tag);
    return isSame && kept !== NOBODY && password !== undefined;
  }

  async #inTurn<T>(lane: HashingLane, work: () => Promise<T>): Promise<T> {
    await this.#turn(lane);
    try {
      return await work();
    } finally {
      this.#next();
    }
  }

  #turn(lane: HashingLane): Promise<void> {
    if (this.#running < HASHING.atOnce) {
      this.#running += 1;
      return Promise.resolve();
    }
    const waiting = this.#waiting[lane];
    if (waiting.length >= HASHING.maxWaiting) {
      throw new AppError("overloaded", "Too many people are signing in right now.", {
        retryAfter: HASHING.retryAfterSeconds,
      });
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    waiting.push(resolve);
    return promise;
  }

  /** The turn is handed on, so that nobody who comes now is faster than who waits. */
  #next(): void {
    const next = this.#waiting["known-device"].shift() ?? this.#waiting.stranger.shift();
    if (next === undefined) this.#running -= 1;
    else next();
  }
}

/** Whether a password should be hashed anew at the next chance, because what is asked for has grown since. */
export function isOutdatedHash(phc: string): boolean {
  const parameters = parsePhc(phc)?.parameters;
  return parameters?.memory !== PARAMETERS.memory || parameters.passes !== PARAMETERS.passes;
}

interface KeptHash {
  readonly parameters: { readonly memory: number; readonly passes: number; readonly parallelism: number };
  readonly salt: Buffer;
  readonly tag: Buffer;
}

/** Of nobody: no password has this tag. */
const NOBODY: KeptHash = {
  parameters: PARAMETERS,
  salt: Buffer.alloc(SALT_BYTES),
  tag: Buffer.alloc(PARAMETERS.tagLength),
};

const PHC = /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,2}),p=(\d{1,2})\$([\w+/]{11,86})\$([\w+/]{22,86})$/;

function parsePhc(phc: string): KeptHash | undefined {
  const [, memory, passes, parallelism, salt = "", tag = ""] = PHC.exec(phc) ?? [];
  if (memory === undefined) return undefined;
  return {
    parameters: { memory: Number(memory), passes: Number(passes), parallelism: Number(parallelism) },
    salt: Buffer.from(salt, "base64"),
    tag: Buffer.from(tag, "base64"),
  };
}

function base64(bytes: Buffer): string {
  return bytes.toString("base64").replaceAll("=", "");
}

function argon2id({ password, salt, ...parameters }: Argon2Input): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  argon2("argon2id", { message: password, nonce: salt, ...parameters }, (error, tag) => {
    if (error === null) resolve(tag);
    else reject(error);
  });
  return promise;
}
