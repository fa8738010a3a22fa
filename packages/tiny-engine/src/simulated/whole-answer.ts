import type { ServerResponse } from "node:http";

import type { Behaviour } from "./behaviour.ts";
import type { Paced, Pacer } from "./pacer.ts";

/** An answer that is sent in one piece, and what may go wrong with it. */
export interface WholeAnswerOptions {
  readonly response: ServerResponse;
  readonly contentType: string;
  readonly body: Buffer;
  /** Tokens that the body stands for: a fault after some of them comes after that share of the body. */
  readonly tokens: number;
  readonly behaviour: Behaviour;
  readonly pacer: Pacer;
  /** Called before the engine itself breaks the answer off. */
  onCut(): void;
}

/** Sends a whole answer after the time that the behaviour gives it, or breaks it as the behaviour says. */
export function sendWhole(options: WholeAnswerOptions): void {
  const { behaviour, tokens, pacer, response } = options;
  const betweenMs = Math.max(0, tokens - 1) * (behaviour.intervalMs ?? 0);
  const waitMs = (behaviour.headMs ?? 0) + (behaviour.firstTokenMs ?? 0) + betweenMs;
  if (waitMs === 0) return send(options);
  const paced: Paced = {
    dueMs: 0,
    nextPaced: undefined,
    get isOver() {
      return response.destroyed;
    },
    step: () => send(options),
  };
  pacer.schedule(paced, pacer.now() + waitMs);
}

function send(options: WholeAnswerOptions): void {
  const { behaviour, response, body } = options;
  const place = shareOf(options);
  if (place === -1) return breakOff(options);
  const announced = Math.max(0, body.length + (behaviour.contentLengthLie ?? 0));
  response.writeHead(behaviour.status ?? 200, {
    "content-type": options.contentType,
    "content-length": String(announced),
  });
  if (place !== undefined) {
    response.flushHeaders();
    if (place > 0) response.write(body.subarray(0, place));
    return breakOff(options);
  }
  if (announced !== body.length) return sendUnderLie(options);
  if (behaviour.byteAtATime === true) return sendBytes(response, body);
  response.end(body);
}

/** Bytes after which the answer breaks off: the share of the body that the tokens are. -1: before the head. */
function shareOf(options: WholeAnswerOptions): number | undefined {
  const { cutAfter, resetAfter, stallAfter } = options.behaviour;
  const places = [cutAfter, resetAfter, stallAfter].filter((place) => place !== undefined);
  if (places.length === 0) return undefined;
  const place = Math.min(...places);
  if (place < 0) return -1;
  return Math.floor((options.body.length - 1) * Math.min(1, place / Math.max(1, options.tokens)));
}

function breakOff(options: WholeAnswerOptions): void {
  const { stallAfter, resetAfter, cutAfter } = options.behaviour;
  const first = Math.min(stallAfter ?? Infinity, resetAfter ?? Infinity, cutAfter ?? Infinity);
  if (stallAfter === first) return;
  options.onCut();
  const { socket } = options.response;
  if (resetAfter === first) socket?.resetAndDestroy();
  else socket?.destroySoon();
}

function sendUnderLie(options: WholeAnswerOptions): void {
  const { response, body } = options;
  const { socket } = response;
  response.flushHeaders();
  options.onCut();
  // Past `response`, which would know better than to send a body of another length.
  socket?.write(body);
  socket?.destroySoon();
}

function sendBytes(response: ServerResponse, body: Buffer): void {
  let sent = 0;
  const sendOne = () => {
    if (response.destroyed) return;
    response.write(body.subarray(sent, sent + 1));
    sent += 1;
    if (sent < body.length) setImmediate(sendOne);
    else response.end();
  };
  sendOne();
}
