import assert from "node:assert/strict";
import { test } from "node:test";

import { createLog } from "./log.ts";

const SECRET = `sk-${"a1B2".repeat(10)}xyz`;

test("a line is JSON with its level by name, its fields and its message", () => {
  const lines: string[] = [];
  const log = createLog("info", { write: (line) => lines.push(line) });

  log.info({ requestId: "req_1", totalMs: 5 }, "request finished");

  const { time, ...rest } = JSON.parse(lines[0] ?? "") as { time: number };
  assert.equal(typeof time, "number");
  assert.deepEqual(rest, { level: "info", requestId: "req_1", totalMs: 5, message: "request finished" });
});

test("what is below the level is not written", () => {
  const lines: string[] = [];
  const log = createLog("warn", { write: (line) => lines.push(line) });

  log.debug({}, "a");
  log.info({}, "b");
  log.warn({}, "c");
  log.error({}, "d");

  assert.equal(lines.length, 2);
});

test("an error is written with its message and its stack", () => {
  const lines: string[] = [];
  const log = createLog("info", { write: (line) => lines.push(line) });

  log.error({ error: new TypeError("oh no") }, "a fault");

  const { error } = JSON.parse(lines[0] ?? "") as { error: Record<string, string> };
  assert.equal(error["message"], "oh no");
  assert.match(error["stack"] ?? "", /log\.test\.ts/);
});

test("no key gets into the log, however deep it hides", () => {
  const lines: string[] = [];
  const log = createLog("debug", { write: (line) => lines.push(line) });

  log.info({ key: SECRET }, "a field");
  log.info({ a: { b: [{ c: `Bearer ${SECRET}` }] } }, "nested");
  log.info({ error: new Error(`bad key ${SECRET}`) }, "in an error");
  log.info({ url: `http://h/?key=wk-${"Z".repeat(43)}` }, `in the message ${SECRET}`);
  log.info({ headers: { Authorization: "Basic dXNlcjpwYXNz", cookie: "id=1" } }, "headers");

  const text = lines.join("");
  for (const part of [SECRET.slice(3), "Z".repeat(43), "dXNlcjpwYXNz", "id=1"]) assert.ok(!text.includes(part), text);
  for (const line of lines) JSON.parse(line);
});

test("words that only look a little like keys stay", () => {
  const lines: string[] = [];
  const log = createLog("info", { write: (line) => lines.push(line) });

  log.info({ model: "task-abcdefghijklmnopqrstuvwx", inputTokens: 5, prefix: "sk-4fQz9B" }, "the bearer of news");

  const { time: _time, ...rest } = JSON.parse(lines[0] ?? "") as { time: number };
  assert.deepEqual(rest, {
    level: "info",
    model: "task-abcdefghijklmnopqrstuvwx",
    inputTokens: 5,
    prefix: "sk-4fQz9B",
    message: "the bearer of news",
  });
});
