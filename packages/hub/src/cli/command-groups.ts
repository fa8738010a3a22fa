import { PublicUrl } from "../accounts/public-url.ts";
import { findUser } from "../accounts/users.ts";
import { AppError } from "../errors.ts";
import { NO_FLEET, type GroupWorkersDeps } from "../groups/group-workers.ts";
import { groupNamed } from "../groups/groups.ts";
import { OPERATOR } from "../identity/actor.ts";
import type { GroupRecord } from "../store/group-store.ts";
import type { UserRecord } from "../store/user-store.ts";
import { CommandError } from "./cli-error.ts";
import type { Asked, FlagTypes } from "./command.ts";

/** What commands about groups work with: the services of the hub, without its workers. */
export function groupsOf<F extends FlagTypes>({ database, config, now }: Asked<F>): GroupWorkersDeps {
  const publicUrl = new PublicUrl(config.publicUrl ?? `http://localhost:${config.port}`);
  // The operator's commands do not ask for a confirmed address.
  return { database, now, fleet: NO_FLEET, settings: { ...config.groups, isMailOn: false, publicUrl } };
}

/** The group that a command's first word names, by its slug or id. @throws CommandError when there is none */
export function namedGroup<F extends FlagTypes>(
  asked: Asked<F>,
  idOrSlug = asked.words[0] ?? "",
): Promise<GroupRecord> {
  return groupNamed(groupsOf(asked), OPERATOR, idOrSlug).catch(orNone("group", idOrSlug));
}

/** The user that a command's second word names, by e-mail address or id. @throws CommandError when there is none */
export function namedUser<F extends FlagTypes>(asked: Asked<F>, idOrEmail = asked.words[1] ?? ""): Promise<UserRecord> {
  return findUser(asked, OPERATOR, idOrEmail).catch(orNone("user", idOrEmail));
}

/** The operator may see all there is, so what is not found is not there; and a list says what is. */
function orNone(what: "group" | "user", named: string): (thrown: unknown) => never {
  return (thrown) => {
    if (!(thrown instanceof AppError) || thrown.code !== "not_found") throw thrown;
    throw new CommandError(`There is no ${what} ${JSON.stringify(named)}. See which there are: tokilake ${what}s list`);
  };
}
