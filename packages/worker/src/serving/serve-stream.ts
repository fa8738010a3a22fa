import type { StreamOpening, TunnelLog, TunnelStream } from "@tokilake/tunnel";

import { FORM_ROUTES } from "../targets/routes.ts";
import type { Target } from "../targets/target.ts";
import { upstreamPath } from "../targets/upstream-url.ts";
import type { BodyFilter, ModelNames } from "./body-filter.ts";
import { EngineExchange, type ExchangeEnd } from "./engine-exchange.ts";
import { FormModelFilter } from "./form-model.ts";
import { headerOf } from "./headers.ts";
import { JsonModelFilter } from "./json-model.ts";
import { MultipartModelFilter, multipartBoundary } from "./multipart-model.ts";
import { mapQueryModel } from "./query-model.ts";
import { RequestBody } from "./request-body.ts";
import { BodyProblem, ServeFailure } from "./serve-failure.ts";
import { exchangeSocket } from "./socket-exchange.ts";

export interface ServeDeps {
  /** The owner's target for a request: the one it names, or the one that has its model. */
  targetOf(opening: Pick<StreamOpening, "target" | "model">): Target | undefined;
  readonly log: TunnelLog;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
}

/** What the hub asks for, checked against the owner's rules. */
interface Admitted {
  readonly target: Target;
  readonly names: ModelNames;
  /** The engine knows the model by another name than the hub. */
  readonly isMapped: boolean;
}

/**
 * Serves one stream of the hub, by the owner's rules, from one of the owner's engines. Settles when the engine is free
 * again. The only place that resets a stream or answers in the engine's stead.
 */
export async function serveStream(stream: TunnelStream, deps: ServeDeps): Promise<void> {
  const startedAtMs = deps.now();
  try {
    const end = await serveAdmitted(stream, admit(stream.opening, deps), deps);
    deps.log.debug({ ...fieldsOf(stream), ms: Math.round(deps.now() - startedAtMs), ...end }, "stream served");
  } catch (thrown) {
    refuse(stream, thrown, deps.log);
  }
}

async function serveAdmitted(stream: TunnelStream, admitted: Admitted, deps: ServeDeps): Promise<ExchangeEnd> {
  const { opening } = stream;
  const { target } = admitted;
  const release = target.takeSlot();
  if (release === undefined) throw new ServeFailure("refused", "all slots are taken", { retrySafe: true });
  const deadline = startDeadline(stream);
  try {
    return await (opening.kind === "ws" ? serveSocket(stream, admitted) : serveRequest(stream, admitted, deps));
  } finally {
    clearTimeout(deadline);
    release();
  }
}

function serveSocket(stream: TunnelStream, { target, names }: Admitted): Promise<ExchangeEnd> {
  const { path, query } = stream.opening;
  const mapped = mapQueryModel(query, names);
  return exchangeSocket({ stream, target, names, path: upstreamPath(target.settings.baseUrl, path, mapped) });
}

async function serveRequest(stream: TunnelStream, admitted: Admitted, deps: ServeDeps): Promise<ExchangeEnd> {
  const { opening } = stream;
  const { target } = admitted;
  const body = new RequestBody(stream.body, {
    announcedLength: opening.bodyLength,
    filter: filterOf(opening, admitted.names),
    maxBytes: target.settings.maxBodyBytes,
  });
  try {
    await body.prepare({ mayChange: admitted.isMapped });
    const path = upstreamPath(target.settings.baseUrl, opening.path, opening.query);
    return await new EngineExchange({ stream, target, body, path, now: deps.now }).run();
  } finally {
    body.close();
  }
}

/** @throws ServeFailure */
function admit(opening: StreamOpening, deps: ServeDeps): Admitted {
  const target = deps.targetOf(opening);
  if (target === undefined) throw new ServeFailure("model-not-found", "unknown target", { retrySafe: true });
  const route = `${opening.method} ${opening.path}`;
  if (!target.routes.has(route)) throw new ServeFailure("forbidden", `route ${route.slice(0, 100)} is not allowed`);
  if (opening.kind === "ws" && opening.method !== "GET") throw new ServeFailure("forbidden", "a handshake is a GET");
  // A fragment or a space would let the query end early, or begin a second request line.
  if (!/^[\x21\x22\x24-\x7e]*$/.test(opening.query))
    throw new ServeFailure("forbidden", "query with forbidden characters");
  if (opening.model === undefined) return { target, names: namesFromBody(target), isMapped: true };
  const upstream = upstreamOf(target, opening.model);
  const isMapped = upstream !== opening.model;
  const names = { upstreamOf: () => upstream, whenMissing: isMapped ? upstream : undefined };
  return { target, names, isMapped };
}

/** The hub named no model: whatever the body names must be published by this target. */
function namesFromBody(target: Target): ModelNames {
  return { upstreamOf: (name) => upstreamOf(target, name), whenMissing: undefined };
}

function upstreamOf(target: Target, name: string): string {
  const model = target.models.get(name);
  if (model === undefined) throw new ServeFailure("model-not-found", "model is not served here", { retrySafe: true });
  return model.upstream;
}

/**
 * The engine must read no other model name than a published one. Only form routes take forms: Ollama, for one, reads
 * JSON whatever the content type says, and a wrong type must not carry another name past us.
 */
function filterOf(opening: StreamOpening, names: ModelNames): BodyFilter {
  if (opening.method === "GET" || opening.method === "DELETE") return new NoBody();
  const contentType = headerOf(opening.headers, "content-type") ?? "";
  if (FORM_ROUTES.has(opening.path)) {
    const boundary = multipartBoundary(contentType);
    if (boundary !== undefined) return new MultipartModelFilter(boundary, names);
    if (/^application\/x-www-form-urlencoded/i.test(contentType)) return new FormModelFilter(names);
  }
  return new JsonModelFilter(names);
}

class NoBody implements BodyFilter {
  readonly growth = 0;

  push(): Uint8Array[] {
    throw new BodyProblem("This route takes no body.");
  }

  finish(): Uint8Array[] {
    return [];
  }
}

/** 24 days: a longer timer of Node's fires at once. */
const LONGEST_TIMER_MS = 0x7fff_ffff;

function startDeadline(stream: TunnelStream): NodeJS.Timeout | undefined {
  const { deadlineMs } = stream.opening;
  if (deadlineMs === undefined) return undefined;
  return setTimeout(() => stream.reset("deadline", { backendCancelled: true }), Math.min(deadlineMs, LONGEST_TIMER_MS));
}

function refuse(stream: TunnelStream, thrown: unknown, log: TunnelLog): void {
  // The hub gave up, or is gone: nobody is there to be told.
  if (stream.signal.aborted) return;
  if (thrown instanceof BodyProblem) {
    answerBadRequest(stream, thrown.message);
    return;
  }
  if (thrown instanceof ServeFailure) {
    const { code, message, retrySafe } = thrown;
    log.warn({ ...fieldsOf(stream), code, cause: causeOf(thrown) }, message);
    stream.reset(code, { retrySafe, message });
    return;
  }
  log.error({ ...fieldsOf(stream), err: thrown }, "unexpected failure");
  stream.reset("internal");
}

/** As an engine would: the shape of the OpenAI API's errors. */
function answerBadRequest(stream: TunnelStream, message: string): void {
  const error = { message, type: "invalid_request_error", code: null, param: null };
  stream.stop("no-error");
  stream.respond({ status: 400, headers: [["content-type", "application/json"]] });
  stream.write(Buffer.from(JSON.stringify({ error })));
  stream.end();
}

function fieldsOf(stream: TunnelStream): object {
  const { requestId, target, model, path } = stream.opening;
  return { requestId, target, model, path };
}

function causeOf(failure: Error): string | undefined {
  return failure.cause instanceof Error ? failure.cause.message : undefined;
}
