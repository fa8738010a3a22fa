import assert from "node:assert/strict";
import { test } from "node:test";

import { adminRoutes } from "./all-routes.ts";
import { openApiDocument } from "./openapi.ts";

type Json = Readonly<Record<string, unknown>>;

const METHODS: readonly string[] = ["get", "put", "post", "patch", "delete"];
/** Keywords of JSON Schema 2020-12 and OpenAPI that our schemas may use; another one is most likely a mistake. */
const KEYWORDS: ReadonlySet<string> = new Set([
  "$ref",
  "additionalProperties",
  "allOf",
  "anyOf",
  "const",
  "default",
  "description",
  "enum",
  "exclusiveMaximum",
  "exclusiveMinimum",
  "format",
  "items",
  "maxItems",
  "maxLength",
  "maximum",
  "minItems",
  "minLength",
  "minimum",
  "oneOf",
  "pattern",
  "properties",
  "propertyNames",
  "required",
  "type",
]);

const document = openApiDocument(adminRoutes("1.2.3"), "1.2.3");
const operations = Object.entries(document["paths"] as Record<string, Record<string, Json>>).flatMap(
  ([path, methods]) => Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
);

test("each operation has what OpenAPI 3.1 asks for", () => {
  for (const { path, method, operation } of operations) {
    const name = `${method} ${path}`;
    assert.ok(METHODS.includes(method), name);
    assert.match(path, /^\/(?:[\w.-]+|\{\w+\})(?:\/(?:[\w.-]+|\{\w+\}))*$/, name);
    assert.ok(String(operation["summary"]).length > 3, `${name} has a summary`);
    const responses = Object.entries(operation["responses"] as Record<string, Json>);
    assert.ok(responses.length > 0, name);
    for (const [status, { description }] of responses) {
      assert.match(status, /^[1-5]\d\d$/, name);
      assert.ok(typeof description === "string" && description !== "", `${name} ${status}`);
    }
  }
});

test("operations are told apart by their ids", () => {
  const ids = operations.map(({ operation }) => String(operation["operationId"]));

  assert.equal(new Set(ids).size, ids.length);
  for (const id of ids) assert.match(id, /^[a-z][A-Za-z0-9]+$/);
});

test("the parameters of a path are declared, required, and no others", () => {
  for (const { path, method, operation } of operations) {
    const declared = (operation["parameters"] ?? []) as Json[];
    const inPath = declared.filter((parameter) => parameter["in"] === "path");
    assert.deepEqual(
      inPath.map((parameter) => `{${String(parameter["name"])}}`),
      path.match(/\{\w+\}/g) ?? [],
      `${method} ${path}`,
    );
    for (const parameter of inPath) assert.equal(parameter["required"], true, `${method} ${path}`);
    const names = declared.map((parameter) => `${String(parameter["in"])} ${String(parameter["name"])}`);
    assert.equal(new Set(names).size, names.length, `${method} ${path}`);
  }
});

test("every reference leads to a schema, and every shared schema is used", () => {
  const { schemas } = document["components"] as { schemas: Json };
  const text = JSON.stringify(document);
  const used = new Set([...text.matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)].map(([, name = ""]) => name));

  assert.deepEqual(used, new Set(Object.keys(schemas)));
  assert.doesNotMatch(text, /\$defs|"\$schema"/);
});

test("schemas use keywords that tools know", () => {
  const unknown = new Set<string>();
  const { schemas } = document["components"] as { schemas: Json };
  const inline: unknown[] = [];
  JSON.stringify(document["paths"], (key, value: unknown) => {
    if (key === "schema") inline.push(value);
    return value;
  });
  for (const schema of withinAll([...Object.values(schemas), ...inline])) {
    for (const keyword of Object.keys(schema)) if (!KEYWORDS.has(keyword)) unknown.add(keyword);
  }

  assert.deepEqual([...unknown], []);
});

/** Bodies are strict: a schema that lets unknown fields in would let them be set. */
test("no request body takes fields that it does not name", () => {
  for (const { path, method, operation } of operations) {
    const body = operation["requestBody"] as { content: { "application/json": { schema: Json } } } | undefined;
    if (body === undefined) continue;
    assert.equal(body.content["application/json"].schema["additionalProperties"], false, `${method} ${path}`);
  }
});

/** Each of these schemas, and what they are made of. */
function* withinAll(schemas: readonly unknown[]): Generator<Json> {
  for (const schema of schemas) {
    if (typeof schema !== "object" || schema === null) continue;
    const node = schema as Json;
    yield node;
    // Names of fields are no keywords.
    yield* withinAll(Object.values((node["properties"] ?? {}) as Json));
    for (const keyword of ["items", "additionalProperties", "propertyNames"]) yield* withinAll([node[keyword]]);
    for (const keyword of ["anyOf", "oneOf", "allOf"]) yield* withinAll((node[keyword] ?? []) as unknown[]);
  }
}
