import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { Readable } from "node:stream";

import type { FastifyReply, FastifyRequest } from "fastify";

import { AppError } from "../errors.ts";
import type { ClientAddresses } from "../http/client-address.ts";
import { checkAnnouncedLength, IncomingBody } from "../http/incoming-body.ts";
import type { UserActor } from "../identity/actor.ts";
import type { Log } from "../observe/log.ts";
import type { BodyMemory } from "./body-memory.ts";
import { answerOnce, type IdempotencyDeps, type KeptAnswer, readIdempotencyKey } from "./idempotency.ts";
import { checkPermission, hasRole } from "./permission.ts";
import type { RateLimit } from "./rate-limit.ts";
import { parseInput } from "./read-input.ts";
import type { AnyAnswer, AnyRequest, Route } from "./route.ts";
import { checkSameOrigin } from "./same-origin.ts";
import { cutSlowReader } from "./slow-reader.ts";

/** The JSON body of one request. */
export const MAX_ADMIN_BODY_BYTES = 1024 * 1024;

/** That of whoever is not known: who signs in, registers or shows a code. */
export const MAX_STRANGER_BODY_BYTES = 64 * 1024;

export interface AnswerDeps<Services> extends IdempotencyDeps {
  readonly services: Services;
  /** Whose cookie or token the headers hold; undefined: nobody's that is good now. */
  readonly actorOf: (headers: IncomingHttpHeaders, address: string) => Promise<UserActor | undefined>;
  readonly addresses: Pick<ClientAddresses, "of">;
  /** Somebody known is at the other end. */
  readonly onKnown: (socket: Socket) => void;
  /** Resolves when what was written holds at every door of this hub. */
  readonly caughtUp: () => Promise<void>;
  readonly limits: RateLimit;
  /** Of what changes something, by users who do not run the hub. */
  readonly changes: RateLimit;
  /** Scheme, host and port that people use; undefined: not set. */
  readonly publicOrigin: string | undefined;
  readonly log: Log;
}

export interface Asked {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  /** Tells a client that waits for it to send its body. */
  readonly askForBody: () => void;
  readonly bodies: Bodies;
}

/** What is held of bodies that are on their way. */
export interface Bodies {
  readonly ofUsers: BodyMemory;
  readonly ofStrangers: BodyMemory;
}

/** One request's way: who asks, may he, what exactly, then the handler, then its answer. Throws AppError wherever it ends. */
export async function answerRoute<S>(deps: AnswerDeps<S>, route: Route<S>, asked: Asked): Promise<FastifyReply> {
  const { request, reply } = asked;
  const { ip: address, network } = deps.addresses.of(request.raw);
  const caller = await enter(deps, route, request);
  const isWhole = request.raw.complete;
  const bytes = route.body === undefined ? NO_BODY : await readBody(asked, caller, network);
  // A body may take its time for minutes. What ended meanwhile, a sign-in or a role, must not be used by who kept it open.
  const actor = isWhole ? caller : await deps.actorOf(request.headers, address);
  checkPermission(route, actor, request.headers.authorization);
  const parsed: AnyRequest = {
    actor: actor && { ...actor, requestId: request.id },
    params: route.params && parseInput(route.params, request.params, "The address"),
    query: parseQuery(route, request.query),
    body: route.body && parseInput(route.body, jsonOf(bytes), "The body"),
    ifMatch: route.needsIfMatch ? versionOf(request.headers["if-match"]) : undefined,
    requestId: request.id,
    address,
    headers: request.headers,
    signal: goneSignal(reply),
  };
  const key = route.isIdempotent ? readIdempotencyKey(request.headers["idempotency-key"]) : undefined;
  const handle = async (): Promise<AnyAnswer> => {
    const answer = await route.handle(parsed, deps.services);
    // A key that somebody reads in the answer works.
    if (route.method !== "GET") await deps.caughtUp();
    return answer;
  };
  if (key === undefined || actor === undefined) return send(route, reply, await handle());
  const create = { key, actorId: actor.user.id, method: request.method, url: request.url, body: bytes };
  const answer = await answerOnce(deps, create, async () => toKept(route, await handle()));
  return sendKept(reply, answer);
}

/** Who asks; undefined: nobody known, at a route for everybody. @throws AppError when they may not call the route at all */
async function enter<S>(
  deps: AnswerDeps<S>,
  route: Route<S>,
  { raw, headers, method }: FastifyRequest,
): Promise<UserActor | undefined> {
  const { ip: address, network } = deps.addresses.of(raw);
  const caller = await deps.actorOf(headers, address);
  if (caller !== undefined) deps.onKnown(raw.socket);
  // Who is known is counted for himself: others behind the same address cannot use up what is his.
  deps.limits.count(caller === undefined ? `network ${network}` : caller.user.id);
  checkPermission(route, caller, headers.authorization);
  const usesCookie = caller?.via.kind === "sign-in";
  checkSameOrigin({ method, headers, publicOrigin: deps.publicOrigin, usesCookie });
  if (route.method !== "GET" && caller !== undefined && !hasRole(caller, "admin")) deps.changes.count(caller.user.id);
  return caller;
}

/** Where a route takes none: what is sent all the same is not read. */
const NO_BODY = new Uint8Array(0);

async function readBody(
  { request: { raw }, askForBody, bodies }: Asked,
  caller: UserActor | undefined,
  network: string,
): Promise<Uint8Array> {
  const maxBytes = caller === undefined ? MAX_STRANGER_BODY_BYTES : MAX_ADMIN_BODY_BYTES;
  checkBodyHeaders(raw, maxBytes);
  askForBody();
  using place = caller === undefined ? bodies.ofStrangers.placeFor(network) : bodies.ofUsers.placeFor(caller.user.id);
  const body = new IncomingBody(raw, { maxBytes });
  const chunks: Uint8Array[] = [];
  try {
    for (let chunk = await body.next(); chunk !== undefined; chunk = await body.next()) {
      place.take(chunk.length);
      chunks.push(chunk);
    }
  } finally {
    body.stop();
  }
  return Buffer.concat(chunks);
}

function checkBodyHeaders(raw: IncomingMessage, maxBytes: number): void {
  const { "content-type": type, "content-encoding": encoding, "transfer-encoding": chunked } = raw.headers;
  if (encoding !== undefined && encoding !== "identity") {
    throw new AppError("unsupported_media_type", "A compressed body is not taken.");
  }
  const isEmpty = type === undefined && chunked === undefined && (raw.headers["content-length"] ?? "0") === "0";
  if (!isEmpty && !/^application\/json\s*(;|$)/i.test(type ?? "")) {
    throw new AppError("unsupported_media_type", "The body must be JSON, with content-type: application/json.");
  }
  checkAnnouncedLength(raw, maxBytes);
}

/** undefined for an empty one. */
function jsonOf(bytes: Uint8Array): unknown {
  if (bytes.length === 0) return undefined;
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (thrown) {
    throw new AppError("invalid_json", undefined, { cause: thrown });
  }
}

/** A route without a query takes none: a misspelt filter must not list everything. */
function parseQuery(route: Route<never>, query: unknown): unknown {
  if (route.query !== undefined) return parseInput(route.query, query, "The query");
  const [field] = Object.keys(query ?? {});
  if (field === undefined) return undefined;
  throw new AppError("invalid_request", `${field}: there is no such field.`, { param: field });
}

/** @throws AppError `precondition_required`, `invalid_request` */
function versionOf(ifMatch: string | undefined): number {
  if (ifMatch === undefined) throw new AppError("precondition_required");
  const [, version] = /^"(\d{1,15})"$/.exec(ifMatch.trim()) ?? [];
  if (version !== undefined) return Number(version);
  throw new AppError("invalid_request", 'If-Match must be one ETag as the hub gave it, such as "3" with its quotes.', {
    param: "If-Match",
  });
}

function goneSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  if (reply.raw.destroyed) gone.abort();
  reply.raw.once("close", () => gone.abort());
  return gone.signal;
}

function send(route: Route<never>, reply: FastifyReply, answer: AnyAnswer): FastifyReply {
  for (const [name, value] of Object.entries(answer.headers ?? {})) reply.header(name, value);
  const streams = streamTypeOf(route, answer);
  if (streams === undefined) return sendKept(reply, toKept(route, answer));
  // The route's type says that its body is one.
  const body = answer.body as AsyncIterable<string>;
  cutSlowReader(reply.raw);
  return reply.code(statusOf(route, answer)).type(streams).send(Readable.from(body));
}

function sendKept(reply: FastifyReply, { status, headers, body }: KeptAnswer): FastifyReply {
  reply.code(status).headers(headers);
  return body === undefined ? reply.send() : reply.type("application/json").send(body);
}

/** Fields that the schema does not have are left out: nothing gets out because a record has it. */
function toKept(route: Route<never>, answer: AnyAnswer): KeptAnswer {
  const status = statusOf(route, answer);
  const schema = route.response[status];
  const headers: Record<string, string> = {};
  if (answer.version !== undefined) headers["etag"] = `"${answer.version}"`;
  if (answer.location !== undefined) headers["location"] = answer.location;
  if (schema === undefined || schema === null || "streams" in schema) return { status, headers, body: undefined };
  return { status, headers, body: JSON.stringify(schema.parse(answer.body)) };
}

function statusOf(route: Route<never>, answer: AnyAnswer): keyof Route<never>["response"] {
  if (answer.status !== undefined) return answer.status;
  const [only] = Object.keys(route.response);
  // The type of an answer leaves the status out only when there is one.
  return Number(only) as keyof Route<never>["response"];
}

function streamTypeOf(route: Route<never>, answer: AnyAnswer): string | undefined {
  const schema = route.response[statusOf(route, answer)];
  return schema !== undefined && schema !== null && "streams" in schema ? schema.streams : undefined;
}
