import { once } from "node:events";
import type { ServerResponse } from "node:http";

import { RequestError, sendError, sendJson } from "../http/request-error.ts";
import type { AnswerFormat } from "./answer-format.ts";
import { CONTEXT_LENGTH } from "./context-length.ts";
import { generate, type GenerationRequest } from "./generate.ts";
import type { TinyModel } from "./tiny-model.ts";

/** An answer to be generated, and where it goes. */
export interface AnswerTask {
  readonly model: TinyModel;
  readonly response: ServerResponse;
  readonly request: GenerationRequest;
  readonly format: AnswerFormat;
  readonly isStream: boolean;
}

/**
 * Generates an answer and sends it. A client that goes away stops the generation within a token, also while it waits.
 *
 * @throws RequestError when the prompt does not fit or the queue is full; nothing was sent then.
 */
export async function sendAnswer(task: AnswerTask): Promise<void> {
  const { model, response, request } = task;
  if (request.prompt.length >= CONTEXT_LENGTH - 1) {
    const message = `The prompt has ${request.prompt.length} tokens; the context has ${CONTEXT_LENGTH}.`;
    throw new RequestError(400, "context_length_exceeded", message);
  }
  const gone = new AbortController();
  const onClose = () => gone.abort(new ClientGone());
  response.once("close", onClose);
  try {
    await model.sequences.borrow(
      (sequence) => (task.isStream ? sendStream : sendWhole)(task, sequence, gone.signal),
      gone.signal,
    );
  } catch (thrown) {
    // There is nobody left to tell.
    if (!(thrown instanceof ClientGone)) throw thrown;
  } finally {
    response.off("close", onClose);
  }
}

/** Answers with the error, in whatever way is still open. */
export function sendFailure(response: ServerResponse, thrown: unknown): void {
  const error = thrown instanceof RequestError ? thrown : new RequestError(500, "internal", "The engine failed.");
  if (response.headersSent) response.destroy();
  else sendError(response, error);
}

class ClientGone extends Error {
  override readonly name = "ClientGone";
}

type Sequence = Parameters<typeof generate>[1];

async function sendWhole(task: AnswerTask, sequence: Sequence, signal: AbortSignal): Promise<void> {
  let text = "";
  const onText = (piece: string) => void (text += piece);
  const end = await generate(task.model, sequence, task.request, { onText, signal });
  sendJson(task.response, task.format.whole(text, end));
}

async function sendStream(task: AnswerTask, sequence: Sequence, signal: AbortSignal): Promise<void> {
  const { response, format } = task;
  response.writeHead(200, { "content-type": format.streamType, "cache-control": "no-cache" });
  const opening = format.opening();
  if (opening !== "") response.write(opening);
  // An awaited drain ends with the signal, so a client that stops reading and leaves does not keep the sequence.
  const onText = async (piece: string) => {
    if (!response.write(format.piece(piece)))
      await once(response, "drain", { signal }).catch(() => signal.throwIfAborted());
  };
  try {
    const end = await generate(task.model, sequence, task.request, { onText, signal });
    response.end(format.closing(end));
  } catch (thrown) {
    if (!signal.aborted) response.end(format.failure("The engine failed in the middle of the answer."));
    throw thrown;
  }
}
