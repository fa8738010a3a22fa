import type { Admission, AdmissionWish, Hold } from "../billing/admission.ts";
import type { ChannelRequest } from "../channels/channel.ts";
import { type HubConfig, timeoutsFor } from "../config.ts";
import { AppError, toAppError } from "../errors.ts";
import type { FleetTarget } from "../fleet/fleet-target.ts";
import { authenticate, type AuthenticateDeps } from "../http/authenticate.ts";
import type { Exchange } from "../http/exchange.ts";
import { checkAnnouncedLength, IncomingBody } from "../http/incoming-body.ts";
import type { RequestLog } from "../observe/request-log.ts";
import type { ActiveRuns } from "./active-runs.ts";
import { attempt } from "./attempt.ts";
import type { AttemptResult } from "./commit-window.ts";
import { Deadline } from "./deadline.ts";
import { type AttemptDeps, firstGoodAnswer } from "./first-good-answer.ts";
import { headersForWorker, mediaTypeOf, SSE_HEADERS } from "./headers.ts";
import type { MemoryBudget } from "./memory-budget.ts";
import type { Operation } from "./operation.ts";
import { pump } from "./pump.ts";
import { type BodyStorage, checkContentType, type RequestView, viewRequest } from "./request-view.ts";
import { Run } from "./run.ts";
import type { SpoolRoom } from "./spool.ts";
import { Upload } from "./upload.ts";

export interface RelayDeps extends AttemptDeps, AuthenticateDeps {
  readonly config: Pick<HubConfig, "limits" | "timeouts" | "modelTimeouts">;
  readonly admission: Admission;
  readonly active: ActiveRuns;
  readonly requestLog: RequestLog;
  /** For request bodies, of all requests together. */
  readonly memory: MemoryBudget;
  readonly spools: SpoolRoom;
  readonly now: () => number;
}

/**
 * One request's journey, from its first byte to its settlement: identify, view, admit, route, attempt, commit, pump, settle.
 *
 * @throws AppError; the door tells the client, in the form that what was sent still allows.
 */
export async function relay(deps: RelayDeps, operation: Operation, exchange: Exchange): Promise<void> {
  const run = new Run({ ...operation, method: "POST" }, exchange.reply, deps.now());
  exchange.reply.onGone(() => run.cancel(new AppError("client_closed")));
  try {
    const principal = authenticate(deps, exchange.request);
    run.principal = principal;
    enter(deps, run);
    const view = await viewBody(deps, run, operation, exchange);
    const hold = admit(deps, run, { principal, model: view.model, maxTokens: view.maxTokens });
    await answer(deps, { run, hold, view, exchange });
  } catch (thrown) {
    run.failed(toAppError(thrown));
    throw thrown;
  } finally {
    settle(deps, run);
  }
}

/** Sets aside what the request may use. `settle` gives it back. @throws AppError as `Admission.admit` does. */
export function admit(deps: RelayDeps, run: Run, wish: Omit<AdmissionWish, "requestId">): Hold {
  const hold = deps.admission.admit({ ...wish, requestId: run.requestId });
  run.hold = hold;
  run.reply.addHeaders(hold.headers);
  return hold;
}

/** Takes a place among the requests that run. `settle` gives it back. */
export function enter(deps: RelayDeps, run: Run): void {
  const { maxRequests } = deps.config.limits;
  if (deps.active.size >= maxRequests) throw new AppError("overloaded", undefined, { retryAfter: 1 });
  if (run.principal !== undefined) deps.active.add(run.principal.keyId, run);
}

/** Everything that can be refused is refused before the client is asked for its body. */
// oxlint-disable-next-line max-params -- one request: its run, its route, its exchange
async function viewBody(deps: RelayDeps, run: Run, operation: Operation, exchange: Exchange): Promise<RequestView> {
  const { request, query } = exchange;
  const contentType = request.headers["content-type"];
  checkContentType(operation, contentType, request.headers["content-encoding"]);
  const isForm = mediaTypeOf(contentType) === "multipart/form-data";
  const maxBytes = isForm ? deps.config.limits.maxUploadBytes : deps.config.limits.maxJsonBytes;
  checkAnnouncedLength(request, maxBytes);
  exchange.askForBody();
  const incoming = new IncomingBody(request, { maxBytes, room: deps.memory.spare });
  run.body = incoming;
  const length = request.headers["content-length"];
  const hints = {
    contentType,
    contentLength: length === undefined ? undefined : Number(length),
    model: modelHint(request.headers["x-model"], query),
  };
  const view = await viewRequest(operation, incoming, { hints, storage: storageOf(deps, run) });
  run.view = view;
  return view;
}

/** `settle` gives back what is taken here. */
function storageOf(deps: RelayDeps, run: Run): BodyStorage {
  return {
    hold: (bytes) => {
      deps.memory.take(bytes);
      run.heldBytes += bytes;
    },
    openSpool: async () => {
      run.spool = await deps.spools.open();
      return run.spool;
    },
  };
}

interface Journey {
  readonly run: Run;
  readonly hold: Hold;
  readonly view: RequestView;
  readonly exchange: Exchange;
}

async function answer(deps: RelayDeps, { run, hold, view, exchange }: Journey): Promise<void> {
  const timeouts = timeoutsFor(deps.config, view.model);
  const deadline = new Deadline(timeouts.totalMs, (error) => onExpire(run, error));
  const { dialect } = run.operation;
  if (view.isStreamed && dialect !== "plain") {
    run.reply.startKeepAlive(dialect, ["content-type", "text/event-stream; charset=utf-8", ...SSE_HEADERS]);
  }
  // Without a stream the first byte comes when the last token is made.
  const firstTokenMs = view.isStreamed ? timeouts.firstTokenMs : timeouts.totalMs;
  try {
    const upload = new Upload(view.body, {
      // While the client still sends, the engine cannot be late.
      onRest: () => deadline.touch(),
      onForgotten: () => giveBackMemory(deps, run),
    });
    const request = requestOf({ run, view, exchange });
    const { connectMs } = timeouts;
    const ask = (target: FleetTarget, signal: AbortSignal): Promise<AttemptResult> => {
      const asked = { ...request, body: upload.again(), deadlineMs: deadline.leftMs, connectMs };
      return attempt(target, asked, { dialect, hidesUsage: view.hidesUsage }, signal);
    };
    const isBodySpent = (): boolean => upload.isSpent;
    const { model } = view;
    const good = await firstGoodAnswer(deps, { run, hold, model, deadline, firstTokenMs, ask, isBodySpent });
    upload.commit();
    const isEnded = await pump(good, { run, deadline, idleMs: timeouts.idleMs });
    // An engine may answer before it has all of the request, or go on behind an error: neither for nobody.
    if (!isEnded || !upload.isSent) run.giveUp(new AppError("client_closed"));
  } catch (thrown) {
    // Whatever still runs for this request ends now: an engine must not work for nobody.
    run.giveUp(toAppError(thrown));
    throw thrown;
  } finally {
    deadline.stop();
    run.releaseSlot(deps.dispatcher);
  }
}

/** Time is up: for this attempt, or for the whole request. */
function onExpire(run: Run, error: AppError): void {
  if (error.code === "upstream_timeout") return run.giveUp(error);
  run.cancel(error);
  if (error.code === "slow_consumer") run.reply.destroy();
}

/** What is the same for every target that is asked. */
function requestOf({
  run,
  view,
  exchange,
}: Omit<Journey, "hold">): Omit<ChannelRequest, "body" | "deadlineMs" | "connectMs"> {
  return {
    requestId: run.requestId,
    path: run.operation.path,
    query: exchange.query,
    headers: headersForWorker(exchange.request.headers, view.contentType, run.requestId),
    model: view.model,
  };
}

function giveBackMemory({ memory }: RelayDeps, run: Run): void {
  memory.give(run.heldBytes);
  run.heldBytes = 0;
}

/** Exactly once for each request: it sits in the one `finally` that every path leaves through. */
export function settle(deps: RelayDeps, run: Run): void {
  run.reply.stopKeepAlive();
  run.body?.stop();
  giveBackMemory(deps, run);
  void run.spool?.close().catch((err: unknown) => deps.log.warn({ requestId: run.requestId, err }, "spool not closed"));
  if (run.principal !== undefined) deps.active.remove(run.principal.keyId, run);
  const record = run.record();
  run.hold?.settle(record);
  // Who fails on and on must not push the records of others out of the log.
  if (run.principal !== undefined || record.errorCode !== "rate_limit_exceeded") deps.requestLog.record(record);
  deps.metrics.requestFinished(record);
}

function modelHint(header: string | string[] | undefined, query: string): string | undefined {
  if (typeof header === "string") return header;
  return query === "" ? undefined : (new URLSearchParams(query).get("model") ?? undefined);
}
