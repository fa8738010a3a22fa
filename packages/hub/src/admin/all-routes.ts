import { AUDIT_ROUTES, type AuditServices } from "./audit-routes.ts";
import { EVENTS_ROUTES, type EventServices } from "./events-routes.ts";
import { GROUP_AUDIT_ROUTES } from "./group-audit-routes.ts";
import { ME_ROUTES } from "./me-routes.ts";
import { describedRoutes } from "./openapi-route.ts";
import type { Route } from "./route.ts";

/** What all routes together work with. */
export type AdminServices = AuditServices & EventServices;

/** Every route of the admin API. @param version This program's, for the OpenAPI document. */
export function adminRoutes(version: string): readonly Route<AdminServices>[] {
  return describedRoutes<AdminServices>(
    [...ME_ROUTES, ...AUDIT_ROUTES, ...GROUP_AUDIT_ROUTES, ...EVENTS_ROUTES],
    version,
  );
}
