import * as z from "zod";

import { ERROR_KINDS, type ErrorCode } from "../errors.ts";
import { SCOPES } from "../identity/actor.ts";
import type { Responses, Route } from "./route.ts";

type Json = Readonly<Record<string, unknown>>;

/**
 * The OpenAPI 3.1 document of these routes. Schemas with an id (`.meta({ id: "Group" })`) stand once, under components.
 *
 * @throws Error when two different schemas have one id.
 */
export function openApiDocument(routes: readonly Route<never>[], version: string): Json {
  const schemas = new Map<string, Json>();
  const paths: Record<string, Record<string, Json>> = {};
  for (const route of routes) {
    const operations = (paths[route.path] ??= {});
    operations[route.method.toLowerCase()] = operationOf(route, schemas);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Tokilake admin API",
      version,
      description: "Conventions that hold for every route: docs/admin-api.md.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    paths,
    components: {
      schemas: { ...Object.fromEntries(schemas), Error: ERROR_SCHEMA },
      securitySchemes: {
        cookie: {
          type: "apiKey",
          in: "cookie",
          name: "tokilake",
          description:
            "A sign-in in a browser; over https the cookie is called __Host-tokilake. What changes anything must come from a page of the hub.",
        },
        bearer: {
          type: "http",
          scheme: "bearer",
          description: `A personal access token, pat-…, with the scope that x-scope names: ${SCOPES.join(", ")}.`,
        },
      },
    },
  };
}

const ERROR_SCHEMA: Json = {
  type: "object",
  required: ["error"],
  properties: {
    error: {
      type: "object",
      required: ["message", "type", "code", "param"],
      properties: {
        message: { type: "string", description: "For people; may change." },
        type: { type: "string" },
        code: { type: "string", description: "For programs: docs/errors.md." },
        param: { type: ["string", "null"], description: "The field at fault." },
      },
    },
  },
};

function operationOf(route: Route<never>, schemas: Map<string, Json>): Json {
  const { alsoScope, body, description, path, permission, scope, summary } = route;
  const parameters = [
    ...parametersOf("path", route.params, schemas),
    ...parametersOf("query", route.query, schemas),
    ...headersOf(route),
  ];
  return {
    operationId: operationIdOf(route),
    summary,
    ...(description !== undefined && { description }),
    tags: [path.split("/")[2] ?? path],
    ...(parameters.length > 0 && { parameters }),
    ...(body !== undefined && { requestBody: requestBodyOf(body, schemas) }),
    responses: { ...successesOf(route.response, schemas), ...refusalsOf(route) },
    security: securityOf(scope),
    "x-permission": permission,
    "x-scope": alsoScope === undefined ? scope : `${scope} ${alsoScope}`,
  };
}

/** `POST /api/groups/{id}/members`: `postGroupsIdMembers`. */
function operationIdOf({ method, path }: Route<never>): string {
  const words = path.replace(/^\/api/, "").split(/[^A-Za-z0-9]+/);
  return method.toLowerCase() + words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join("");
}

function parametersOf(
  place: "path" | "query",
  object: z.ZodObject | undefined,
  schemas: Map<string, Json>,
): readonly Json[] {
  if (object === undefined) return [];
  const needed = z.toJSONSchema(object, { io: "input", unrepresentable: "any" }).required ?? [];
  return Object.entries(object.shape).map(([name, schema]) => {
    // What comes out of a query's text, such as a number, is what people mean by its type.
    const { description, ...rest } = jsonSchemaOf(schema, "output", schemas);
    return {
      name,
      in: place,
      required: needed.includes(name),
      ...(description !== undefined && { description }),
      schema: rest,
    };
  });
}

function headersOf({ isIdempotent, needsIfMatch }: Route<never>): readonly Json[] {
  const headers: Json[] = [];
  if (isIdempotent) {
    const schema = { type: "string", minLength: 16, maxLength: 255 };
    const description = "Sent again with the same key, the request is done once and answered the same for a day.";
    headers.push({ name: "Idempotency-Key", in: "header", required: false, description, schema });
  }
  if (needsIfMatch) {
    const description = "The ETag of the version that is to be changed.";
    headers.push({ name: "If-Match", in: "header", required: true, description, schema: { type: "string" } });
  }
  return headers;
}

function requestBodyOf(body: z.ZodType, schemas: Map<string, Json>): Json {
  const required = !z.safeParse(body, undefined).success;
  return { required, content: { "application/json": { schema: jsonSchemaOf(body, "input", schemas) } } };
}

const SUCCESSES: Readonly<Record<string, string>> = {
  200: "Done.",
  201: "Made; the header location says where.",
  202: "Taken; something else has to happen.",
  204: "Done; there is nothing to say.",
  302: "The way on is in the header location.",
  303: "The way on is in the header location.",
};

function successesOf(response: Responses, schemas: Map<string, Json>): Json {
  return Object.fromEntries(
    Object.entries(response).map(([status, schema]) => {
      const description = SUCCESSES[status] ?? "Done.";
      if (schema === null) return [status, { description }];
      if ("streams" in schema) return [status, { description, content: { [schema.streams]: {} } }];
      const content = { "application/json": { schema: jsonSchemaOf(schema, "output", schemas) } };
      return [status, { description, content }];
    }),
  );
}

/** One response a status; its codes are told apart by the description, and by `x-codes` for programs. */
function refusalsOf(route: Route<never>): Json {
  const codesOf = new Map<number, ErrorCode[]>();
  for (const code of new Set([...commonErrors(route), ...route.errors])) {
    const { status } = ERROR_KINDS[code];
    codesOf.set(status, [...(codesOf.get(status) ?? []), code]);
  }
  const content = { "application/json": { schema: { $ref: "#/components/schemas/Error" } } };
  return Object.fromEntries(
    [...codesOf].map(([status, codes]) => {
      const description = codes.map((code) => `${code}: ${ERROR_KINDS[code].message}`).join(" ");
      return [status, { description, content, "x-codes": codes }];
    }),
  );
}

function commonErrors(route: Route<never>): readonly ErrorCode[] {
  const codes: ErrorCode[] = ["invalid_request", "rate_limit_exceeded", "internal"];
  if (route.permission !== "public") codes.push("unauthenticated", "forbidden");
  if (route.body !== undefined) {
    codes.push("invalid_json", "missing_required_parameter", "request_too_large", "unsupported_media_type");
  }
  if (route.isIdempotent) codes.push("conflict", "idempotency_key_reused");
  if (route.needsIfMatch) codes.push("precondition_required", "precondition_failed");
  return codes;
}

function securityOf(scope: Route<never>["scope"]): readonly Json[] {
  if (scope === "none") return [];
  if (scope === "sign-in-only") return [{ cookie: [] }];
  return [{ cookie: [] }, { bearer: [] }];
}

/** A schema as JSON Schema 2020-12, which OpenAPI 3.1 takes as it is. Shared ones go to `schemas`. */
function jsonSchemaOf(schema: z.ZodType, io: "input" | "output", schemas: Map<string, Json>): Json {
  const { $schema: _dialect, $defs, ...own } = z.toJSONSchema(schema, { io, unrepresentable: "any" });
  for (const [id, shared] of Object.entries($defs ?? {})) {
    const { $schema: _sharedDialect, id: _id, ...rest } = shared;
    keep(id, withComponentRefs(rest), schemas);
  }
  const { id, ...rest } = withComponentRefs(own);
  if (typeof id !== "string") return rest;
  keep(id, rest, schemas);
  return { $ref: `#/components/schemas/${id}` };
}

function keep(id: string, schema: Json, schemas: Map<string, Json>): void {
  const known = schemas.get(id);
  if (known !== undefined && JSON.stringify(known) !== JSON.stringify(schema)) {
    throw new Error(`Two different schemas are called ${id}`);
  }
  schemas.set(id, schema);
}

function withComponentRefs(schema: object): Json {
  const text = JSON.stringify(schema).replaceAll('"#/$defs/', '"#/components/schemas/');
  return JSON.parse(text) as Json;
}
