import assert from "node:assert/strict";
import { test } from "node:test";

import * as z from "zod";

import { type Route, route, streamOf } from "./route.ts";

const NOTE = z.object({ id: z.string(), text: z.string() });

interface Notes {
  add(text: string): { id: string; text: string };
}

test("a route's handler is typed by its schemas, and its services by its parameter", () => {
  const create = route({
    method: "POST",
    path: "/api/notes",
    permission: "signed-in",
    scope: "account",
    summary: "Makes a note",
    body: z.strictObject({ text: z.string() }),
    response: { 201: NOTE },
    idempotent: true,
    handler: async ({ actor, body }, services: { notes: Notes }) => {
      const note = services.notes.add(`${actor.user.name}: ${body.text}`);
      return { body: note, location: `/api/notes/${note.id}` };
    },
  });

  const all: readonly Route<{ notes: Notes; other: number }>[] = [create];

  assert.deepEqual([all[0]?.isIdempotent, all[0]?.needsIfMatch], [true, false]);
});

test("what a route may not leave out, or get wrong, does not compile", () => {
  const given = { method: "GET", path: "/api/x", summary: "x", response: { 200: NOTE } } as const;
  const handler = async () => ({ body: { id: "1", text: "" } });

  // @ts-expect-error -- no permission
  route({ ...given, scope: "account", handler });
  // @ts-expect-error -- no scope
  route({ ...given, permission: "signed-in", handler });
  // @ts-expect-error -- only a public route has no scope
  route({ ...given, permission: "signed-in", scope: "none", handler });
  // @ts-expect-error -- a public route has none
  route({ ...given, permission: "public", scope: "account", handler });
  // @ts-expect-error -- the answer lacks a field of its schema
  route({ ...given, permission: "public", scope: "none", handler: async () => ({ body: { id: "1" } }) });
  route({
    ...given,
    permission: "public",
    scope: "none",
    // @ts-expect-error -- nobody may have asked
    handler: async ({ actor }) => ({ body: { id: actor.user.id, text: "" } }),
  });
  route({
    ...given,
    permission: "signed-in",
    scope: "account",
    // @ts-expect-error -- no body was declared
    handler: async ({ body }) => ({ body: { id: body.id, text: "" } }),
  });
  route({
    ...given,
    permission: "signed-in",
    scope: "account",
    // @ts-expect-error -- no If-Match was asked for
    handler: async ({ ifMatch }) => ({ body: { id: ifMatch.toFixed(), text: "" } }),
  });
  route({
    ...given,
    response: { 200: NOTE, 202: null },
    permission: "public",
    scope: "none",
    // @ts-expect-error -- of several statuses one must be named
    handler: async () => ({ body: { id: "1", text: "" } }),
  });
});

test("a route may have several statuses, no body, or one that is not JSON", () => {
  const several = route({
    method: "POST",
    path: "/api/several",
    permission: "public",
    scope: "none",
    summary: "x",
    response: { 200: NOTE, 204: null },
    handler: async ({ actor }) =>
      actor === undefined ? { status: 204 } : { status: 200, body: { id: actor.user.id, text: "" } },
  });
  const streamed = route({
    method: "PATCH",
    path: "/api/streamed/{id}",
    permission: "auditor",
    scope: "audit:read",
    summary: "x",
    params: z.strictObject({ id: z.string() }),
    ifMatch: "required",
    response: { 200: streamOf("text/csv") },
    handler: async ({ params, ifMatch }) => ({ body: linesOf(params.id, ifMatch) }),
  });

  assert.deepEqual(Object.keys(several.response), ["200", "204"]);
  assert.equal(streamed.needsIfMatch, true);
});

async function* linesOf(id: string, version: number): AsyncGenerator<string> {
  yield `${id},${version.toFixed()}\n`;
}
