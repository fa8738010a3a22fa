import { ACCESS_TOKENS_ROUTES } from "./access-tokens-routes.ts";
import { ACCOUNT_ROUTES } from "./account-routes.ts";
import type { AccountServices } from "./account-shapes.ts";
import { AUDIT_ROUTES, type AuditServices } from "./audit-routes.ts";
import { DEVICE_JOINS_ROUTES } from "./device-joins-routes.ts";
import { EVENTS_ROUTES, type EventServices } from "./events-routes.ts";
import { GROUP_AUDIT_ROUTES } from "./group-audit-routes.ts";
import type { GroupServices } from "./group-shapes.ts";
import { GROUPS_ROUTES } from "./groups-routes.ts";
import { INVITES_ROUTES } from "./invites-routes.ts";
import { KEYS_ROUTES, type KeyServices } from "./keys-routes.ts";
import { ME_ROUTES } from "./me-routes.ts";
import { MEMBERS_ROUTES } from "./members-routes.ts";
import { describedRoutes } from "./openapi-route.ts";
import type { Route } from "./route.ts";
import { SERVING_ROUTES } from "./serving-routes.ts";
import { SETUP_ROUTES } from "./setup-routes.ts";
import { SIGN_IN_ROUTES } from "./sign-in-routes.ts";
import { SIGN_INS_ROUTES } from "./sign-ins-routes.ts";
import { USERS_ROUTES } from "./users-routes.ts";
import { WORKERS_ROUTES, type WorkerServices } from "./workers-routes.ts";

/** What all routes together work with. */
export type AdminServices = AccountServices &
  AuditServices &
  EventServices &
  GroupServices &
  KeyServices &
  WorkerServices;

/** Every route of the admin API. @param version This program's, for the OpenAPI document. */
export function adminRoutes(version: string): readonly Route<AdminServices>[] {
  return describedRoutes<AdminServices>(
    [
      ...SETUP_ROUTES,
      ...SIGN_IN_ROUTES,
      ...ME_ROUTES,
      ...ACCOUNT_ROUTES,
      ...SIGN_INS_ROUTES,
      ...ACCESS_TOKENS_ROUTES,
      ...USERS_ROUTES,
      ...KEYS_ROUTES,
      ...GROUPS_ROUTES,
      ...MEMBERS_ROUTES,
      ...SERVING_ROUTES,
      ...INVITES_ROUTES,
      ...DEVICE_JOINS_ROUTES,
      ...WORKERS_ROUTES,
      ...AUDIT_ROUTES,
      ...GROUP_AUDIT_ROUTES,
      ...EVENTS_ROUTES,
    ],
    version,
  );
}
