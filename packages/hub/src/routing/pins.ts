import { OPERATOR_PIN, type Pins } from "../identity/principal.ts";

/** What pins look at. */
export interface Pinned {
  readonly workerId: string;
  /** undefined: the operator's. */
  readonly userId: string | undefined;
}

/** Whether a key's owner wants the worker. Workers are named as they name themselves, so two owners' may have the same name. */
export function suits({ workerId, userId = OPERATOR_PIN }: Pinned, pins: Pins | undefined): boolean {
  if (pins === undefined) return true;
  const { workers, owners, excludeWorkers, excludeOwners } = pins;
  if (workers?.includes(workerId) === false || owners?.includes(userId) === false) return false;
  return excludeWorkers?.includes(workerId) !== true && excludeOwners?.includes(userId) !== true;
}
