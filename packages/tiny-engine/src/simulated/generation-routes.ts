import type { IncomingMessage, ServerResponse } from "node:http";

import { openAiErrorBody, RequestError, sendError } from "../http/request-error.ts";
import { type AnswerPlan, planAnswer, recordOf, type RequestBody } from "./answer-plan.ts";
import { type Behaviour, parseBehaviour, parseBehaviourHeader } from "./behaviour.ts";
import { chatDialect, completionDialect } from "./chat-dialect.ts";
import { type Dialect, renderEvent } from "./dialect.ts";
import { ollamaChatDialect, ollamaGenerateDialect } from "./ollama-dialect.ts";
import { OTHER_ROUTES } from "./other-answers.ts";
import { Pacer } from "./pacer.ts";
import type { RecordedRequest, RequestRecorder } from "./request-record.ts";
import { responsesDialect } from "./responses-dialect.ts";
import { StreamedAnswer } from "./streamed-answer.ts";
import { readUpload, type Upload } from "./upload.ts";
import { sendWhole } from "./whole-answer.ts";
import { TokenChunkCache } from "./wire-chunk.ts";

const DIALECTS: Readonly<Record<string, Dialect>> = {
  "/v1/chat/completions": chatDialect,
  "/v1/completions": completionDialect,
  "/v1/responses": responsesDialect,
  "/api/chat": ollamaChatDialect,
  "/api/generate": ollamaGenerateDialect,
};

/** What these routes need to know. */
export interface GenerationOptions {
  readonly recorder: RequestRecorder;
  readonly models: readonly string[];
  readonly behaviour?: Behaviour;
  readonly behaviours?: Readonly<Record<string, Behaviour>>;
  readonly refusesUnknownModels?: boolean;
}

/** One request between its upload and its answer. */
interface Asked {
  readonly path: string;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly record: RecordedRequest;
  readonly upload: Upload;
}

/** The routes that are counted: everything that a model would have to work for. */
export class GenerationRoutes {
  readonly #options: GenerationOptions;
  readonly #pacer = new Pacer();
  readonly #chunks = new TokenChunkCache();

  constructor(options: GenerationOptions) {
    this.#options = options;
  }

  /** Whether `POST path` is one of them. */
  serves(path: string): boolean {
    return Object.hasOwn(DIALECTS, path) || Object.hasOwn(OTHER_ROUTES, path);
  }

  /** Answers `POST path`; never throws. */
  handle(path: string, request: IncomingMessage, response: ServerResponse): void {
    const record = this.#options.recorder.begin(request, response);
    void this.#answer(path, request, response, record).catch((thrown: unknown) => {
      const error = thrown instanceof RequestError ? thrown : new RequestError(500, "internal", String(thrown));
      if (response.headersSent) response.destroy();
      else sendError(response, error);
    });
  }

  close(): void {
    this.#pacer.close();
  }

  // oxlint-disable-next-line max-params -- one request in its three faces, at its path
  async #answer(
    path: string,
    request: IncomingMessage,
    response: ServerResponse,
    record: RecordedRequest,
  ): Promise<void> {
    const early = this.#behaviourBefore(request);
    const upload = await readUpload(request, early?.stopReadingAfter);
    const body = bodyOf(request, upload);
    record.model = typeof body["model"] === "string" ? body["model"] : undefined;
    this.#options.recorder.received(record, upload);
    const behaviour = this.#behaviourOf(body, record.model, early);
    this.#refuseUnknownModel(record.model);
    const plan = planAnswer(body, upload.bytes, behaviour, record.model ?? this.#options.models[0] ?? "simulated");
    this.#send({ path, request, response, record, upload }, body, plan);
  }

  #send(asked: Asked, body: RequestBody, plan: AnswerPlan): void {
    const { behaviour } = plan;
    if (behaviour.status !== undefined && behaviour.status >= 300) return this.#sendStatus(asked, plan);
    const dialect = DIALECTS[asked.path];
    if (dialect === undefined) return this.#sendOther(asked, body, plan);
    // Ollama streams unless told not to; OpenAI does not unless told to.
    const isStream = dialect.framing === "ndjson" ? body["stream"] !== false : body["stream"] === true;
    if (behaviour.errorIn200 === true) return this.#sendErrorIn200(asked, dialect, plan, isStream);
    if (isStream && behaviour.contentLengthLie === undefined) return this.#sendStream(asked, dialect, plan);
    const text = isStream ? this.#wholeStream(dialect, plan) : JSON.stringify(dialect.whole(plan));
    this.#sendWhole(asked, plan, isStream ? typeOf(dialect) : "application/json", Buffer.from(text));
  }

  #sendStream(asked: Asked, dialect: Dialect, plan: AnswerPlan): void {
    const { response, record } = asked;
    const onCut = () => this.#options.recorder.end(record, "cut");
    const options = { response, dialect, plan, chunks: this.#chunks, pacer: this.#pacer, record, onCut };
    const { socket } = response;
    if (socket !== null) return new StreamedAnswer(options, socket).start();
    // A pipelined request: the connection is still busy with the answer before this one.
    response.once("socket", (given) => new StreamedAnswer(options, given).start());
  }

  #wholeStream(dialect: Dialect, plan: AnswerPlan): string {
    const kind = { dialect, model: plan.model, part: "text", chunkBytes: undefined, isOdd: false } as const;
    const tokens = this.#chunks.of(kind);
    const parts = dialect.opening(plan).map((event) => renderEvent(event, dialect.framing));
    for (let index = 0; index < plan.tokens; index += 1) parts.push(tokens.at(index).payload.toString());
    parts.push(...dialect.closing(plan).map((event) => renderEvent(event, dialect.framing)));
    return parts.join("") + (dialect.hasDone ? "data: [DONE]\n\n" : "");
  }

  #sendOther(asked: Asked, body: RequestBody, plan: AnswerPlan): void {
    if (plan.behaviour.errorIn200 === true) return this.#sendWhole(asked, plan, "application/json", ERROR_BODY);
    const answer = OTHER_ROUTES[asked.path]?.({ body, bodyBytes: asked.upload.bytes, plan });
    if (answer !== undefined) this.#sendWhole(asked, plan, answer.contentType, answer.body);
  }

  #sendErrorIn200(asked: Asked, dialect: Dialect, plan: AnswerPlan, isStream: boolean): void {
    const event = renderEvent(dialect.error("The engine failed, under status 200."), dialect.framing);
    const body = isStream ? Buffer.from(event) : ERROR_BODY;
    this.#sendWhole(asked, plan, isStream ? typeOf(dialect) : "application/json", body);
  }

  #sendStatus(asked: Asked, plan: AnswerPlan): void {
    const status = plan.behaviour.status ?? 500;
    if (status === 429 || status === 503) asked.response.setHeader("retry-after", "1");
    const body = openAiErrorBody(status, "simulated", `The engine answers ${status}, as it was told to.`);
    this.#sendWhole(asked, plan, "application/json", Buffer.from(body));
  }

  // oxlint-disable-next-line max-params -- whose answer, under which plan, of which type, with which bytes
  #sendWhole(asked: Asked, plan: AnswerPlan, contentType: string, body: Buffer): void {
    const { response, record } = asked;
    const onCut = () => this.#options.recorder.end(record, "cut");
    response.once("finish", () => (record.tokensSent = plan.tokens));
    const { behaviour, tokens } = plan;
    sendWhole({ response, contentType, body, tokens, behaviour, pacer: this.#pacer, onCut });
  }

  /** The behaviour that is known before the upload. */
  #behaviourBefore(request: IncomingMessage): Behaviour | undefined {
    const header = request.headers["x-simulate"];
    return typeof header === "string" ? parseBehaviourHeader(header) : this.#options.behaviour;
  }

  #behaviourOf(body: RequestBody, model: string | undefined, early: Behaviour | undefined): Behaviour {
    const own = body["simulate"] ?? body["x_simulate"];
    if (own !== undefined) return parseBehaviour(own);
    const ofModel = model === undefined ? undefined : this.#options.behaviours?.[model];
    return early === this.#options.behaviour ? (ofModel ?? early ?? {}) : (early ?? {});
  }

  #refuseUnknownModel(model: string | undefined): void {
    const { refusesUnknownModels, models } = this.#options;
    if (refusesUnknownModels !== true || (model !== undefined && models.includes(model))) return;
    throw new RequestError(404, "model_not_found", `The model ${JSON.stringify(model)} does not exist.`);
  }
}

const ERROR_BODY = Buffer.from(openAiErrorBody(500, "simulated", "The engine failed, under status 200."));

function typeOf(dialect: Dialect): string {
  return dialect.framing === "sse" ? "text/event-stream; charset=utf-8" : "application/x-ndjson";
}

/** The JSON of a short body; of a long one or a form, the few fields that matter, found by name. */
function bodyOf(request: IncomingMessage, upload: Upload): RequestBody {
  const isJson = !(request.headers["content-type"] ?? "").startsWith("multipart/");
  if (!isJson || upload.whole === undefined) return fieldsIn(upload.excerpt());
  try {
    return recordOf(JSON.parse(upload.whole.toString("utf8")));
  } catch {
    throw new RequestError(400, "invalid_json", "The body is not JSON.");
  }
}

function fieldsIn(text: string): RequestBody {
  const model = /"model"\s*:\s*"([^"\\]*)"/.exec(text)?.[1] ?? /name="model"\r\n\r\n([^\r\n]*)\r\n/.exec(text)?.[1];
  const simulate =
    /"simulate"\s*:\s*(\{[^{}]*\})/.exec(text)?.[1] ?? /name="simulate"\r\n\r\n(\{[^\r\n]*)\r\n/.exec(text)?.[1];
  const limit = /"max_(?:completion_)?tokens"\s*:\s*(\d{1,7})/.exec(text)?.[1];
  return {
    ...(model === undefined ? {} : { model }),
    ...(limit === undefined ? {} : { max_tokens: Number(limit) }),
    ...(simulate === undefined ? {} : { simulate: parseBehaviourHeader(simulate) }),
    ...(/"include_usage"\s*:\s*true/.test(text) ? { stream_options: { include_usage: true } } : {}),
    stream: /"stream"\s*:\s*true/.test(text),
  };
}
