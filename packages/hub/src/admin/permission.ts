import { AppError } from "../errors.ts";
import type { UserActor } from "../identity/actor.ts";
import type { UserRole } from "../store/access-schema.ts";
import type { Permission, Route } from "./route.ts";

type ByRole = Extract<Permission, "auditor" | "admin" | "root">;

const ROLES: Readonly<Record<ByRole, readonly UserRole[]>> = {
  auditor: ["auditor", "admin", "root"],
  admin: ["admin", "root"],
  root: ["root"],
};

/** Whether somebody has the role that such routes need, or a higher one. */
export function hasRole({ user }: UserActor, permission: ByRole): boolean {
  return ROLES[permission].includes(user.role);
}

/**
 * Whether `actor` may call `route` at all. Which objects he may see is the service's to decide.
 *
 * @throws AppError `unauthenticated`, or `forbidden` for a role or a token's scopes that are not enough.
 */
export function checkPermission(
  route: Pick<Route<never>, "permission" | "scope" | "alsoScope">,
  actor: UserActor | undefined,
  authorization: string | undefined,
): void {
  if (route.permission === "public") return;
  if (actor === undefined) throw unauthenticated(authorization);
  checkScope(route.scope, actor);
  if (route.alsoScope !== undefined) checkScope(route.alsoScope, actor);
  const { permission } = route;
  if (!isByRole(permission) || hasRole(actor, permission)) return;
  throw new AppError("forbidden", `This needs the role ${ROLES[permission].join(" or ")}.`);
}

function isByRole(permission: Permission): permission is ByRole {
  return Object.hasOwn(ROLES, permission);
}

function checkScope(scope: Route<never>["scope"], { via }: UserActor): void {
  if (via.kind === "sign-in") return;
  if (via.scopes.some((each) => each === scope)) return;
  if (scope === "sign-in-only") throw new AppError("forbidden", "This needs a sign-in. A token cannot do it.");
  throw new AppError("forbidden", `This token lacks the scope ${scope}.`);
}

function unauthenticated(authorization: string | undefined): AppError {
  const isOtherKey = authorization !== undefined && /^bearer\s+[sw]k-/i.test(authorization);
  const message = isOtherKey
    ? "This is a key for /v1 or for workers. The admin API takes personal access tokens, which begin with pat-."
    : undefined;
  return new AppError("unauthenticated", message, { headers: { "www-authenticate": "Bearer" } });
}
