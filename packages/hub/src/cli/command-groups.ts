import { PublicUrl } from "../accounts/public-url.ts";
import { findUser } from "../accounts/users.ts";
import { NO_FLEET, type GroupWorkersDeps } from "../groups/group-workers.ts";
import { groupNamed } from "../groups/groups.ts";
import { OPERATOR } from "../identity/actor.ts";
import type { GroupRecord } from "../store/group-store.ts";
import type { UserRecord } from "../store/user-store.ts";
import type { Asked, FlagTypes } from "./command.ts";

/** What commands about groups work with: the services of the hub, without its workers. */
export function groupsOf<F extends FlagTypes>({ database, config, now }: Asked<F>): GroupWorkersDeps {
  const publicUrl = new PublicUrl(config.publicUrl ?? `http://localhost:${config.port}`);
  // The operator's commands do not ask for a confirmed address.
  return { database, now, fleet: NO_FLEET, settings: { ...config.groups, isMailOn: false, publicUrl } };
}

/** The group that a command's first word names, by its slug or id. @throws AppError `not_found` */
export function namedGroup<F extends FlagTypes>(
  asked: Asked<F>,
  idOrSlug = asked.words[0] ?? "",
): Promise<GroupRecord> {
  return groupNamed(groupsOf(asked), OPERATOR, idOrSlug);
}

/** The user that a command's second word names, by e-mail address or id. @throws AppError `not_found` */
export function namedUser<F extends FlagTypes>(asked: Asked<F>, idOrEmail = asked.words[1] ?? ""): Promise<UserRecord> {
  return findUser(asked, OPERATOR, idOrEmail);
}
