import type { IncomingHttpHeaders } from "node:http";

import * as z from "zod";

import type { UserActor } from "../identity/actor.ts";
import { groupsOfViewer } from "../store/audience-store.ts";
import type { Database } from "../store/database.ts";
import type { EventHub, Viewer } from "./event-hub.ts";
import { hasRole } from "./permission.ts";
import { route, streamOf } from "./route.ts";

/** What the stream of events works with. */
export interface EventServices {
  readonly database: Database;
  readonly events: EventHub;
  readonly actorOf: (headers: IncomingHttpHeaders, address: string) => Promise<UserActor | undefined>;
  readonly now: () => number;
}

export const EVENTS_ROUTES = [
  route({
    method: "GET",
    path: "/api/events",
    permission: "signed-in",
    scope: "events:read",
    summary: "What happens, as it happens: server-sent events",
    description:
      "Workers that come and go, usage, changed keys: each event only to those whose business it is. Nothing is kept: after a " +
      "break the first event is `reset`, and what is shown must be read anew. The last event is `end`, with its reason.",
    query: z.strictObject({}),
    response: { 200: streamOf("text/event-stream") },
    errors: ["overloaded", "shutting_down"],
    handler: async ({ actor, address, headers }, services: EventServices) => {
      const refresh = async (): Promise<Viewer | undefined> => {
        const now = await services.actorOf(headers, address);
        return now && viewerOf(services, now);
      };
      const lastEventId = headers["last-event-id"];
      const viewer = await viewerOf(services, actor);
      return {
        body: services.events.subscribe({ viewer, refresh, lastEventId: lastEventId?.toString() }),
        // nginx would hold events back until its buffer is full.
        headers: { "x-accel-buffering": "no" },
      };
    },
  }),
];

async function viewerOf({ database, now }: EventServices, actor: UserActor): Promise<Viewer> {
  const { groupIds, ownedGroupIds } = await groupsOfViewer(database.db, actor.user.id, now());
  const { via } = actor;
  const scopes = via.kind === "token" ? via.scopes.join() : "";
  return {
    userId: actor.user.id,
    seesAll: hasRole(actor, "auditor"),
    groupIds: new Set(groupIds),
    ownedGroupIds: new Set(ownedGroupIds),
    rights: `${actor.user.role} ${via.id} ${scopes}`,
  };
}
