import type { IncomingHttpHeaders } from "node:http";

import type * as z from "zod";

import type { ErrorCode } from "../errors.ts";
import type { Scope, UserActor } from "../identity/actor.ts";

/**
 * Who may call a route. Up to `root` the door decides, by the role; `group-owner`, `group-member` and `self` are decided by
 * the service, which looks for the object among those that the actor may see.
 */
export type Permission =
  | "public"
  | "signed-in"
  | "self"
  | "group-member"
  | "group-owner"
  | "auditor"
  | "admin"
  | "root";

/** What a personal access token needs to call a route. `sign-in-only`: no token will do. */
export type RouteScope<P extends Permission> = P extends "public" ? "none" : Scope | "sign-in-only";

/** What a request's parts are checked against. Objects are strict: an unknown field is an error, never ignored. */
type ObjectSchema = z.ZodObject | undefined;
type BodySchema = z.ZodType | undefined;

/** Successful statuses, each with its body; null: none. */
export type Responses = Readonly<Partial<Record<SuccessStatus, z.ZodType | null | StreamResponse>>>;
export type SuccessStatus = 200 | 201 | 202 | 204 | 302 | 303;

/** A body that is not JSON: sent piece by piece, at the speed of its reader. */
export interface StreamResponse {
  readonly streams: string;
}

/** A response of `contentType` that the handler yields in pieces. */
export function streamOf(contentType: string): StreamResponse {
  return { streams: contentType };
}

type Parsed<S> = S extends z.ZodType ? z.output<S> : undefined;

/** A request as a handler gets it: everything checked. */
export interface RouteRequest<P extends Permission, Params, Query, Body, IfMatch> {
  /** Always there unless the route is public. */
  readonly actor: P extends "public" ? UserActor | undefined : UserActor;
  readonly params: Parsed<Params>;
  readonly query: Parsed<Query>;
  readonly body: Parsed<Body>;
  /** The version that the caller saw last. */
  readonly ifMatch: IfMatch extends "required" ? number : undefined;
  readonly requestId: string;
  /** The caller's, for the audit log and limits. */
  readonly address: string;
  /** For cookies and the name of the browser; nothing else is of use to a handler. */
  readonly headers: IncomingHttpHeaders;
  /** Aborted when the caller goes away. */
  readonly signal: AbortSignal;
}

/** One successful answer. `status` may be left out when the route has only one. */
export type RouteAnswer<R extends Responses> = {
  [S in keyof R & SuccessStatus]: AnswerOf<R[S]> &
    (IsUnion<keyof R> extends true ? { readonly status: S } : { readonly status?: S });
}[keyof R & SuccessStatus];

type AnswerOf<R> = {
  /** The object's version: becomes its ETag. */
  readonly version?: number;
  /** Where the new object, or the way on, is. */
  readonly location?: string;
  /** `set-cookie` may be several. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
} & (R extends z.ZodType
  ? { readonly body: WithAnyObject<z.input<R>> }
  : R extends StreamResponse
    ? { readonly body: AsyncIterable<string> }
    : { readonly body?: undefined });

/**
 * The compiler forgets that a handler wrote `object: "user"` and not any text before it has looked at the schema. The schema looks
 * again when the answer is sent.
 */
type WithAnyObject<Body> = Body extends { readonly object: string }
  ? Omit<Body, "object"> & { readonly object: string }
  : Body;

/** Each member of a union is compared with the whole of it. */
type IsUnion<Each, Whole = Each> = Each extends Whole ? ([Whole] extends [Each] ? false : true) : never;

export interface RouteDefinition<
  P extends Permission,
  Params extends ObjectSchema,
  Query extends ObjectSchema,
  Body extends BodySchema,
  R extends Responses,
  IfMatch extends "required" | undefined,
  Services,
> {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Parameters in braces, as in OpenAPI: `/api/groups/{id}`. */
  readonly path: string;
  readonly permission: P;
  readonly scope: RouteScope<P>;
  /** A token must have this one as well: for what does two things at once. */
  readonly alsoScope?: Scope;
  /** One line for the OpenAPI document. */
  readonly summary: string;
  readonly description?: string;
  readonly params?: Params;
  readonly query?: Query;
  /** The JSON body, a strict object. */
  readonly body?: Body;
  readonly response: R;
  /** What it may refuse with besides what every route may: for the OpenAPI document. */
  readonly errors?: readonly ErrorCode[];
  /** A create: an `Idempotency-Key` is taken, and the answer to the same request given again. */
  readonly idempotent?: boolean;
  /** An update: `If-Match` must name the version that the caller saw. */
  readonly ifMatch?: IfMatch;
  /**
   * Does it, or throws AppError. `services`: whatever this route works with, declared by its parameter's type; the list of all
   * routes asks for all of them together.
   */
  readonly handler: (
    request: RouteRequest<P, Params, Query, Body, IfMatch>,
    services: Services,
  ) => Promise<RouteAnswer<R>>;
}

/** A route of the admin API: schema, permission, document and handler in one value. */
export interface Route<Services> {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  readonly permission: Permission;
  readonly scope: Scope | "sign-in-only" | "none";
  readonly alsoScope: Scope | undefined;
  readonly summary: string;
  readonly description: string | undefined;
  readonly params: z.ZodObject | undefined;
  readonly query: z.ZodObject | undefined;
  readonly body: z.ZodType | undefined;
  readonly response: Responses;
  readonly errors: readonly ErrorCode[];
  readonly isIdempotent: boolean;
  readonly needsIfMatch: boolean;
  /** With everything parsed by the schemas above; see {@link route}. */
  readonly handle: (request: AnyRequest, services: Services) => Promise<AnyAnswer>;
}

/** A request whose parts were parsed by its route's schemas. */
export interface AnyRequest {
  readonly actor: UserActor | undefined;
  readonly params: unknown;
  readonly query: unknown;
  readonly body: unknown;
  readonly ifMatch: number | undefined;
  readonly requestId: string;
  readonly address: string;
  readonly headers: IncomingHttpHeaders;
  readonly signal: AbortSignal;
}

export interface AnyAnswer {
  readonly status?: SuccessStatus;
  readonly version?: number;
  readonly location?: string;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: unknown;
}

/**
 * Declares a route. Without a permission or a scope it does not compile, and the handler's request and answer have the types of
 * the schemas.
 */
export function route<
  P extends Permission,
  R extends Responses,
  Params extends ObjectSchema = undefined,
  Query extends ObjectSchema = undefined,
  Body extends BodySchema = undefined,
  IfMatch extends "required" | undefined = undefined,
  Services = unknown,
>(definition: RouteDefinition<P, Params, Query, Body, R, IfMatch, Services>): Route<Services> {
  const { method, path, permission, scope, summary, response, handler } = definition;
  return {
    method,
    path,
    permission,
    scope,
    alsoScope: definition.alsoScope,
    summary,
    description: definition.description,
    params: definition.params,
    query: definition.query,
    body: definition.body,
    response,
    errors: definition.errors ?? [],
    isIdempotent: definition.idempotent ?? false,
    needsIfMatch: definition.ifMatch === "required",
    // The door parsed each part with the very schema that gives it its type here, and let nobody in without an actor.
    handle: (request, services) =>
      handler(request as RouteRequest<P, Params, Query, Body, IfMatch>, services) as Promise<AnyAnswer>,
  };
}
