import assert from "node:assert/strict";
import { test } from "node:test";

import * as z from "zod";

import { openApiDocument } from "./openapi.ts";
import { listOf, PAGE_QUERY, toPage } from "./paging.ts";
import { type Route, route, streamOf } from "./route.ts";

const NOTE = z.object({ id: z.string(), text: z.string().nullable() }).meta({ id: "Note" });

const LIST = route({
  method: "GET",
  path: "/api/notes",
  permission: "signed-in",
  scope: "account",
  summary: "Lists notes",
  query: z.strictObject(PAGE_QUERY),
  response: { 200: listOf(NOTE) },
  handler: async ({ query }) => ({ body: toPage([], query, (note) => note) }),
});

const CREATE = route({
  method: "POST",
  path: "/api/notes",
  permission: "admin",
  scope: "sign-in-only",
  summary: "Makes a note",
  body: z.strictObject({ text: z.string().max(10), color: z.enum(["red"]).exactOptional() }),
  response: { 201: NOTE },
  idempotent: true,
  errors: ["not_found"],
  handler: async () => ({ body: { id: "", text: "" } }),
});

const CHANGE = route({
  method: "PATCH",
  path: "/api/notes/{id}",
  permission: "self",
  scope: "account",
  summary: "Changes a note",
  params: z.strictObject({ id: z.string() }),
  ifMatch: "required",
  response: { 204: null },
  handler: async () => ({}),
});

const EXPORT = route({
  method: "GET",
  path: "/api/notes.csv",
  permission: "public",
  scope: "none",
  summary: "Notes as CSV",
  response: { 200: streamOf("text/csv") },
  handler: async () => ({ body: nothing() }),
});

async function* nothing(): AsyncGenerator<string> {
  yield* [];
}

/** A value of the document by its path. */
function at(document: object, ...path: readonly string[]): unknown {
  return path.reduce<unknown>((value, key) => (value as Readonly<Record<string, unknown>>)[key], document);
}

test("a route is described with its permission, its scope, its parameters and its answers", () => {
  const document = openApiDocument([LIST, CREATE, CHANGE, EXPORT], "1.2.3");

  assert.deepEqual(at(document, "paths", "/api/notes", "get"), {
    operationId: "getNotes",
    summary: "Lists notes",
    tags: ["notes"],
    parameters: [
      {
        name: "limit",
        in: "query",
        required: false,
        description: "How many objects, 1 to 100; 20 when left out",
        schema: { default: 20, type: "integer", minimum: 1, maximum: 100 },
      },
      {
        name: "cursor",
        in: "query",
        required: false,
        description: "Where to go on: `next_cursor` of the page before",
        schema: { type: "string", maxLength: 512 },
      },
    ],
    responses: at(document, "paths", "/api/notes", "get", "responses"),
    security: [{ cookie: [] }, { bearer: [] }],
    "x-permission": "signed-in",
    "x-scope": "account",
  });
  assert.deepEqual(Object.keys(at(document, "paths", "/api/notes", "get", "responses") as object), [
    "200",
    "400",
    "401",
    "403",
    "429",
    "500",
  ]);
  assert.deepEqual(at(document, "paths", "/api/notes.csv", "get", "responses", "200", "content"), { "text/csv": {} });
});

test("a create has its body and its headers, an update its If-Match", () => {
  const document = openApiDocument([CREATE, CHANGE], "1.2.3");

  assert.deepEqual(at(document, "paths", "/api/notes", "post", "requestBody"), {
    required: true,
    content: {
      "application/json": {
        schema: {
          type: "object",
          properties: { text: { type: "string", maxLength: 10 }, color: { type: "string", enum: ["red"] } },
          required: ["text"],
          additionalProperties: false,
        },
      },
    },
  });
  assert.equal(at(document, "paths", "/api/notes", "post", "parameters", "0", "name"), "Idempotency-Key");
  assert.deepEqual(at(document, "paths", "/api/notes", "post", "responses", "404", "x-codes"), ["not_found"]);
  assert.deepEqual(at(document, "paths", "/api/notes", "post", "security"), [{ cookie: [] }]);
  assert.deepEqual(
    [
      at(document, "paths", "/api/notes/{id}", "patch", "parameters", "0", "name"),
      at(document, "paths", "/api/notes/{id}", "patch", "parameters", "1", "required"),
    ],
    ["id", true],
  );
  assert.deepEqual(at(document, "paths", "/api/notes/{id}", "patch", "responses", "204"), {
    description: "Done; there is nothing to say.",
  });
});

test("a schema that several routes use stands once, under its name", () => {
  const document = openApiDocument([LIST, CREATE], "1.2.3");

  assert.deepEqual(at(document, "components", "schemas", "Note"), {
    type: "object",
    properties: { id: { type: "string" }, text: { type: ["string", "null"] } },
    required: ["id", "text"],
    additionalProperties: false,
  });
  const ref = { $ref: "#/components/schemas/Note" };
  const answered = (...path: string[]): unknown => at(document, "paths", "/api/notes", ...path);
  assert.deepEqual(answered("post", "responses", "201", "content", "application/json", "schema"), ref);
  assert.deepEqual(
    answered("get", "responses", "200", "content", "application/json", "schema", "properties", "data", "items"),
    ref,
  );
});

test("two schemas of one name are a mistake", () => {
  const other: Route<unknown> = { ...EXPORT, response: { 200: z.object({ x: z.string() }).meta({ id: "Note" }) } };

  assert.throws(() => openApiDocument([CREATE, other], "1"), /ID.*Note|called Note/);
});
