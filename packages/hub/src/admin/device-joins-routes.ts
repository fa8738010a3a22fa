import * as z from "zod";

import {
  confirmJoin,
  joinWorker,
  type PolledDeviceJoin,
  pollDeviceJoin,
  readDeviceJoin,
  refuseJoin,
  type SeenDeviceJoin,
  startDeviceJoin,
  type StartedDeviceJoin,
} from "../groups/device-joins.ts";
import type { JoinedWorker } from "../groups/worker-keys.ts";
import { GROUP_REFERENCE, type GroupServices, toReference } from "./group-shapes.ts";
import { CODE } from "./invites-routes.ts";
import { route } from "./route.ts";

const MACHINE = z.string().min(1).max(64).describe("How the machine is to be called");

const STARTED = z
  .object({
    object: z.literal("device_join"),
    secret: z.string().describe("For the machine alone: it asks for its key with this"),
    user_code: z.string().describe("For the person to compare"),
    link: z.string().describe("Where the person says yes"),
    expires_at_ms: z.int(),
    poll_ms: z.int().describe("How long to wait between two questions"),
    group: GROUP_REFERENCE,
  })
  .meta({ id: "StartedDeviceJoin" });

const DEVICE_JOIN = z
  .object({
    object: z.literal("device_join"),
    machine: z.string().describe("As it names itself"),
    address: z.string().describe("The network it asked from"),
    group: GROUP_REFERENCE,
    state: z.enum(["waiting", "confirmed", "refused", "used"]),
    expires_at_ms: z.int(),
  })
  .meta({ id: "DeviceJoin" });

const JOINED = z
  .object({
    object: z.literal("joined_worker"),
    state: z.literal("joined"),
    key_id: z.string(),
    secret: z.string().describe("The worker key. It is shown only this once"),
    group: GROUP_REFERENCE,
  })
  .meta({ id: "JoinedWorker" });

const POLLED = z.discriminatedUnion("state", [
  z.object({ object: z.literal("device_join"), state: z.literal("waiting"), poll_ms: z.int() }),
  z.object({ object: z.literal("device_join"), state: z.literal("refused") }),
  JOINED,
]);

const USER_CODE = z.strictObject({ code: z.string().max(64) });

/** How a machine gets a worker key with an invite. */
export const DEVICE_JOINS_ROUTES = [
  route({
    method: "POST",
    path: "/api/invites/join-worker",
    permission: "public",
    scope: "none",
    summary: "A machine without an account asks to serve with an invite",
    description:
      "The person opens the link, signs in and says yes; the machine asks every poll_ms, and gets its key. Ten minutes.",
    body: z.strictObject({ code: CODE, machine: MACHINE }),
    response: { 201: STARTED },
    errors: ["not_found", "invite_ended", "conflict", "rate_limit_exceeded"],
    handler: async ({ address, body }, { groups }: GroupServices) => {
      return { body: toStarted(await startDeviceJoin(groups, { ...body, address })) };
    },
  }),
  route({
    method: "POST",
    path: "/api/device-joins/poll",
    permission: "public",
    scope: "none",
    summary: "The machine asks whether its person said yes; the key is handed out once",
    body: z.strictObject({ secret: z.string().min(1).max(128) }),
    response: { 200: POLLED },
    errors: ["not_found", "forbidden", "conflict", "rate_limit_exceeded"],
    handler: async ({ address, requestId, body }, { groups }: GroupServices) => {
      return { body: toPolled(await pollDeviceJoin(groups, { secret: body.secret, address, requestId })) };
    },
  }),
  route({
    method: "GET",
    path: "/api/device-joins/{code}",
    permission: "signed-in",
    scope: "keys:write",
    summary: "The machine that waits with a code",
    params: USER_CODE,
    response: { 200: DEVICE_JOIN },
    errors: ["not_found", "rate_limit_exceeded"],
    handler: async ({ actor, params }, { groups }: GroupServices) => ({
      body: toDeviceJoin(await readDeviceJoin(groups, actor, params.code)),
    }),
  }),
  route({
    method: "POST",
    path: "/api/device-joins/{code}/confirm",
    permission: "signed-in",
    scope: "keys:write",
    alsoScope: "groups:write",
    summary: "Says yes: redeems the invite, and the machine gets a worker key in one's own name",
    params: USER_CODE,
    response: { 200: DEVICE_JOIN },
    errors: ["not_found", "forbidden", "conflict", "invite_ended", "rate_limit_exceeded"],
    handler: async ({ actor, params }, { groups }: GroupServices) => ({
      body: toDeviceJoin(await confirmJoin(groups, actor, params.code)),
    }),
  }),
  route({
    method: "POST",
    path: "/api/device-joins/{code}/refuse",
    permission: "signed-in",
    scope: "keys:write",
    summary: "Says no",
    params: USER_CODE,
    response: { 204: null },
    errors: ["not_found", "conflict", "rate_limit_exceeded"],
    handler: async ({ actor, params }, { groups }: GroupServices) => {
      await refuseJoin(groups, actor, params.code);
      return {};
    },
  }),
  route({
    method: "POST",
    path: "/api/invites/redeem-worker",
    permission: "signed-in",
    scope: "keys:write",
    alsoScope: "groups:write",
    summary: "Joins with an invite and makes a worker key for this machine, in one step",
    body: z.strictObject({ code: CODE, machine: MACHINE }),
    response: { 201: JOINED },
    errors: ["not_found", "forbidden", "conflict", "invite_ended", "rate_limit_exceeded"],
    idempotent: true,
    handler: async ({ actor, body }, { groups }: GroupServices) => ({
      body: toJoined(await joinWorker(groups, actor, body)),
    }),
  }),
];

function toStarted(started: StartedDeviceJoin): z.input<typeof STARTED> {
  return {
    object: "device_join",
    secret: started.secret,
    user_code: started.userCode,
    link: started.link,
    expires_at_ms: started.expiresAtMs,
    poll_ms: started.pollMs,
    group: toReference(started.group),
  };
}

function toPolled(polled: PolledDeviceJoin): z.input<typeof POLLED> {
  switch (polled.state) {
    case "waiting":
      return { object: "device_join", state: polled.state, poll_ms: polled.pollMs };
    case "refused":
      return { object: "device_join", state: polled.state };
    case "joined":
      return toJoined(polled);
  }
}

function toDeviceJoin(join: SeenDeviceJoin): z.input<typeof DEVICE_JOIN> {
  const { machine, address, group, state, expiresAtMs } = join;
  return { object: "device_join", machine, address, group: toReference(group), state, expires_at_ms: expiresAtMs };
}

function toJoined({ keyId, secret, group }: JoinedWorker): z.input<typeof JOINED> {
  return { object: "joined_worker", state: "joined", key_id: keyId, secret, group: toReference(group) };
}
