import * as z from "zod";

/** What one worker may announce. Worst case: 5,000 models of a 256-byte name are about 3 MB in the hub's memory. */
export const ANNOUNCEMENT_LIMITS = {
  maxModels: 5_000,
  maxTargets: 256,
  maxRoutes: 100,
  maxNameBytes: 256,
  /** Groups that it names. */
  maxGroups: 100,
  /** All workers of one key together; a model on two targets counts twice. Worst case: about 30 MB a key. */
  maxModelsPerKey: 50_000,
} as const;

// Controls could forge log lines and headers. Characters that do not show, and blanks at the ends, would let one owner's model
// look exactly like another's in the same group.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]|^\s|\s$/u;

export const NOT_SEEN = "control characters, blanks at an end, or characters that do not show";

/** Whether people, logs and headers can tell the name from any other. */
export function isSeenInFull(text: string): boolean {
  return !UNSEEN.test(text);
}

const name = z
  .string()
  .min(1)
  .refine((text) => Buffer.byteLength(text) <= ANNOUNCEMENT_LIMITS.maxNameBytes, "is longer than 256 bytes")
  .refine(isSeenInFull, `has ${NOT_SEEN}`);

const MAX_PROBLEMS = 3;

const count = z.int().min(0).max(1_000_000);

const target = z.object({
  name,
  engine: name.exactOptional(),
  slots: z.int().min(1).max(100_000).exactOptional(),
  /** "POST /v1/chat/completions". Absent: not known, so anything may be tried. */
  routes: z.array(z.string().max(512)).max(ANNOUNCEMENT_LIMITS.maxRoutes).exactOptional(),
});

const models = z.object({
  kind: z.literal("models"),
  /** Ids or slugs of the groups that it wants to serve. Absent: all that it may. */
  groups: z.array(name).max(ANNOUNCEMENT_LIMITS.maxGroups).exactOptional(),
  targets: listOf(target, ANNOUNCEMENT_LIMITS.maxTargets),
  models: listOf(z.object({ id: name, target: name }), ANNOUNCEMENT_LIMITS.maxModels),
});

const load = z.object({
  kind: z.literal("load"),
  targets: listOf(
    z.object({ name, running: count.exactOptional(), waiting: count.exactOptional() }),
    ANNOUNCEMENT_LIMITS.maxTargets,
  ),
});

const announcement = z.discriminatedUnion("kind", [models, load]);

/** Stops at the first mistake: to describe 5,000 of them took 18 ms, so that 15 KB of nonsense cost as much. */
function listOf<T>(item: z.ZodType<T>, max: number) {
  return z
    .array(z.unknown())
    .max(max)
    .transform((list, context) => {
      const parsed: T[] = [];
      for (const [at, each] of list.entries()) {
        const result = item.safeParse(each);
        if (!result.success) {
          for (const issue of result.error.issues.slice(0, MAX_PROBLEMS)) {
            context.addIssue({ code: "custom", message: issue.message, path: [at, ...issue.path] });
          }
          return z.NEVER;
        }
        parsed.push(result.data);
      }
      return parsed;
    });
}

/** What a worker serves: its targets, and which of them has which model. */
export type ModelsAnnouncement = z.infer<typeof models>;
/** How busy its targets are. What is absent is unknown, never zero. */
export type LoadAnnouncement = z.infer<typeof load>;

export type ParsedAnnouncement =
  | { readonly outcome: "valid"; readonly announcement: ModelsAnnouncement | LoadAnnouncement }
  /** `problem`: for the worker's owner. */
  | { readonly outcome: "invalid"; readonly problem: string };

/** Reads what a worker announced, at registration or later. Unknown fields are ignored: workers may be newer than we are. */
export function parseAnnouncement(details: unknown): ParsedAnnouncement {
  const parsed = announcement.safeParse(details);
  if (!parsed.success) return { outcome: "invalid", problem: z.prettifyError(parsed.error).slice(0, 500) };
  const stray = parsed.data.kind === "models" ? modelWithoutTarget(parsed.data) : undefined;
  if (stray !== undefined)
    return { outcome: "invalid", problem: `model "${stray}" names a target that is not announced` };
  return { outcome: "valid", announcement: parsed.data };
}

function modelWithoutTarget(announced: ModelsAnnouncement): string | undefined {
  const names = new Set(announced.targets.map((each) => each.name));
  return announced.models.find((model) => !names.has(model.target))?.id;
}
