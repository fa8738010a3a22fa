import { AppError } from "../errors.ts";

/** Memory for bodies that are on their way to the admin API. A client may take minutes to send one. */
export const BODY_MEMORY = {
  /** Bytes of one user at a time; of whoever is not known, of one network. */
  perCallerBytes: 4 * 1024 * 1024,
  /** Bytes of all users at a time. As much again for all who are not known: they must not take what is for users. */
  inAllBytes: 128 * 1024 * 1024,
} as const;

/** The part of one body. Given back when it is disposed of. */
export interface BodyPlace extends Disposable {
  /** @throws AppError `rate_limit_exceeded` when its sender sends too much at once, `overloaded` when all together do. */
  take(bytes: number): void;
}

/** Counts what is held of bodies that are not whole, each sender for himself. */
export class BodyMemory {
  /** By sender; only those who send now. */
  readonly #held = new Map<string, number>();
  #inAll = 0;

  /** Bytes that are held now. */
  get heldBytes(): number {
    return this.#inAll;
  }

  placeFor(caller: string): BodyPlace {
    let taken = 0;
    return {
      take: (bytes) => {
        this.#check(caller, bytes);
        this.#move(caller, bytes);
        taken += bytes;
      },
      [Symbol.dispose]: () => {
        this.#move(caller, -taken);
        taken = 0;
      },
    };
  }

  #check(caller: string, bytes: number): void {
    if ((this.#held.get(caller) ?? 0) + bytes > BODY_MEMORY.perCallerBytes) {
      const message = "You send too much at once. Wait until some of it has been answered.";
      throw new AppError("rate_limit_exceeded", message, { retryAfter: 1 });
    }
    if (this.#inAll + bytes > BODY_MEMORY.inAllBytes) throw new AppError("overloaded", undefined, { retryAfter: 1 });
  }

  #move(caller: string, bytes: number): void {
    const held = (this.#held.get(caller) ?? 0) + bytes;
    if (held === 0) this.#held.delete(caller);
    else this.#held.set(caller, held);
    this.#inAll += bytes;
  }
}
