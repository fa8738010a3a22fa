import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { test } from "node:test";

import { AppError } from "../errors.ts";
import { IncomingBody, SLOW_UPLOAD } from "./incoming-body.ts";
import { KEEP_ALIVE_MS, Reply } from "./reply.ts";

/** As much of a request as a body reader uses. */
class FakeRequest extends EventEmitter {
  readonly socket = { writable: false };
  isPausedNow = false;
  isPaused(): boolean {
    return this.isPausedNow;
  }
  pause(): void {
    this.isPausedNow = true;
  }
  resume(): void {
    this.isPausedNow = false;
  }
}

/** As much of a response as a reply uses while it waits. */
class FakeResponse extends EventEmitter {
  readonly sent: unknown[] = [];
  readonly req = { complete: true, headers: {} };
  destroyed = false;
  writableFinished = false;
  writeHead(status: number): void {
    this.sent.push(status);
  }
  write(text: string): boolean {
    this.sent.push(text);
    return true;
  }
}

function bodyOf(request: FakeRequest): IncomingBody {
  // Only the members of the fake are used.
  return new IncomingBody(request as unknown as IncomingMessage, { maxBytes: 1_000_000 });
}

function replyTo(response: FakeResponse): Reply {
  return new Reply(response as unknown as ServerResponse, "req_1");
}

test("a body that comes slower than the rule is refused with request_timeout", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const request = new FakeRequest();
  const body = bodyOf(request);

  let next = body.next();
  request.emit("data", Buffer.alloc(SLOW_UPLOAD.minBytes));
  await next;
  next = body.next();
  t.mock.timers.tick(SLOW_UPLOAD.windowMs);
  request.emit("data", Buffer.alloc(SLOW_UPLOAD.minBytes - 1));
  await next;
  next = body.next();
  t.mock.timers.tick(SLOW_UPLOAD.windowMs);

  await assert.rejects(next, (error) => error instanceof AppError && error.code === "request_timeout");
});

test("a client is not to blame for a time in which the hub stood still", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const request = new FakeRequest();
  const body = bodyOf(request);
  const start = performance.now();
  t.mock.method(performance, "now", () => start);

  const next = body.next();
  t.mock.method(performance, "now", () => start + SLOW_UPLOAD.windowMs + 20_000);
  t.mock.timers.tick(SLOW_UPLOAD.windowMs);
  request.emit("data", Buffer.alloc(10));

  assert.equal((await next)?.length, 10);
});

test("a client is not to blame while its body is not read", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const request = new FakeRequest();
  const body = bodyOf(request);

  const first = body.next();
  request.emit("data", Buffer.alloc(10));
  await first;
  request.emit("data", Buffer.alloc(10));
  t.mock.timers.tick(SLOW_UPLOAD.windowMs * 3);
  const second = await body.next();

  assert.equal(second?.length, 10);
  assert.equal(request.isPausedNow, true);
});

test("while nothing comes a stream is kept alive by comments, the first of which sends the head", (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const response = new FakeResponse();
  const reply = replyTo(response);

  reply.startKeepAlive("chat", []);
  t.mock.timers.tick(KEEP_ALIVE_MS - 1);
  const before = [...response.sent];
  t.mock.timers.tick(1 + KEEP_ALIVE_MS);
  reply.stopKeepAlive();
  t.mock.timers.tick(KEEP_ALIVE_MS);

  assert.deepEqual(before, []);
  assert.deepEqual(response.sent, [200, ": keep-alive\n\n", ": keep-alive\n\n"]);
  assert.deepEqual(reply.form, { is: "sse", dialect: "chat" });
});
