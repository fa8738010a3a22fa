import * as z from "zod";

/** What is kept of a hub's notice: more than a hub of ours sends. */
const MAX = { groups: 100, lists: 10, models: 100, nameLength: 256 } as const;

/** The names are for a terminal and a log, and who wrote them is not known. */
const text = z
  .string()
  .max(MAX.nameLength)
  .transform((name) => name.replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, "?"));

const count = z.int().min(0);

const refused = z.object({ why: text, count, models: z.array(text).max(MAX.models) });

const group = z.union([
  z.object({ group: text, served: count, refused: z.array(refused).max(MAX.lists) }),
  z.object({ group: text, why: text }),
]);

/** As the status file has it, and without its `kind` as the hub says it. */
export const SERVED = z.object({ groups: z.array(group).max(MAX.groups), more: count.optional() });

const notice = SERVED.extend({ kind: z.literal("served") });

/**
 * What the hub serves of this worker, group by group: how many models, and which are refused and why; or why nothing is.
 * Reasons are codes of docs/protocol.md, "What a hub tells"; a newer hub may have others.
 */
export type Served = z.infer<typeof SERVED>;

export type ServedGroup = Served["groups"][number];

/** What the hub says that it serves, each time that it is another. Its sessions, and hubs that take over, say the same again. */
export class ServedNews {
  readonly #onNews: (served: Served | undefined) => void;
  #last = "";

  /** @param onNews undefined: nothing is known any more. */
  constructor(onNews: (served: Served | undefined) => void) {
    this.#onNews = onNews;
  }

  /** A notice of the hub, of whatever kind. */
  hear(details: unknown): void {
    const served = servedOf(details);
    if (served !== undefined) this.#tell(served);
  }

  /** The hub is away, and what it serves when it is back is its to say. */
  forget(): void {
    this.#tell(undefined);
  }

  #tell(served: Served | undefined): void {
    const text = served === undefined ? "" : JSON.stringify(served);
    if (text === this.#last) return;
    this.#last = text;
    this.#onNews(served);
  }
}

/** Reads a hub's notice. undefined: it is of another kind, or not valid, and is passed over. */
export function servedOf(details: unknown): Served | undefined {
  const parsed = notice.safeParse(details);
  if (!parsed.success) return undefined;
  const { groups, more } = parsed.data;
  return more === undefined ? { groups } : { groups, more };
}
