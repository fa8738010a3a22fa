import { AppError } from "../errors.ts";
import { type Actor, seesAll } from "../identity/actor.ts";
import { seenGroup } from "./group-access.ts";
import type { GroupsDeps } from "./groups-deps.ts";

/** A connected worker, as far as it serves one group. */
export interface GroupWorker {
  /** Unique; that of `GET /api/workers`. */
  readonly id: string;
  /** As it names itself; two owners may have chosen the same. */
  readonly workerId: string;
  /** undefined: the operator. */
  readonly ownerId: string | undefined;
  /** What its owner calls it, when they do. */
  readonly nodeName: string | undefined;
  readonly connectedAtMs: number;
  /** What the group's keys reach on it, by the names they use. */
  readonly models: readonly string[];
  /** Requests that it runs now, and how many it takes at once; undefined: not known. */
  readonly running: number;
  readonly slots: number | undefined;
}

/** The connected workers, as groups need them. The fleet implements it, from memory. */
export interface GroupFleet {
  /** Those that serve the group now. */
  workersIn(groupId: string): readonly GroupWorker[];
}

/** For commands, which have no workers. */
export const NO_FLEET: GroupFleet = { workersIn: () => [] };

/** A worker with its owner's name, as members see it. */
export interface ShownGroupWorker extends GroupWorker {
  readonly ownerName: string;
  /** Where it stands in the list: by name. For `page.after`. */
  readonly place: string;
}

export interface GroupWorkersDeps extends GroupsDeps {
  readonly fleet: GroupFleet;
}

/**
 * Who serves what in a group, by worker name, a page at a time. For its members; a public group's are everybody.
 *
 * @throws AppError `not_found`
 */
export async function listGroupWorkers(
  deps: GroupWorkersDeps,
  actor: Actor,
  groupId: string,
  page: { readonly limit: number; readonly after?: string | undefined },
): Promise<readonly ShownGroupWorker[]> {
  const { group, membership } = await seenGroup(deps.database.db, actor, groupId, deps.now());
  if (membership === undefined && group.kind !== "public" && !seesAll(actor)) throw new AppError("forbidden");
  const { after } = page;
  const workers = deps.fleet
    .workersIn(groupId)
    .map((worker) => ({ ...worker, place: `${worker.workerId} ${worker.id}` }))
    .filter(({ place }) => after === undefined || place > after)
    .toSorted((one, other) => (one.place < other.place ? -1 : 1))
    .slice(0, page.limit);
  const names = await namesOf(deps, workers);
  return workers.map((worker) => ({ ...worker, ownerName: names.get(worker.ownerId ?? "") ?? "operator" }));
}

/** At most a page's worth of users. */
async function namesOf(
  { database }: GroupsDeps,
  workers: readonly GroupWorker[],
): Promise<ReadonlyMap<string, string>> {
  const ids = [...new Set(workers.flatMap(({ ownerId }) => ownerId ?? []))];
  if (ids.length === 0) return new Map();
  const users = await database.db.selectFrom("users").select(["id", "name"]).where("id", "in", ids).execute();
  return new Map(users.map(({ id, name }) => [id, name]));
}
