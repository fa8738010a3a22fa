import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { AppError, ERROR_KINDS, toAppError } from "./errors.ts";
import { errorBody, sseErrorEvent } from "./http/error-body.ts";

test("docs/errors.md has a row for each code, with its status and type", () => {
  const page = readFileSync(new URL("../../../docs/errors.md", import.meta.url), "utf8");
  const rows = [...page.matchAll(/^\| `(\w+)` \| (\d+) \| `(\w+)` \| (yes|no) \|/gm)].map(
    ([, code, status, type, retry]) => [code, [Number(status), type, retry === "yes"]],
  );

  const table = Object.entries(ERROR_KINDS).map(([code, kind]) => [code, [kind.status, kind.type, kind.retryable]]);
  assert.deepEqual(Object.fromEntries(rows), Object.fromEntries(table));
});

test("an unexpected error does not leak its message", () => {
  const error = toAppError(new Error("connect ECONNREFUSED 10.0.0.5:5432"));

  assert.equal(error.code, "internal");
  assert.doesNotMatch(JSON.stringify(errorBody(error)), /ECONNREFUSED/);
  assert.match(String(error.cause), /ECONNREFUSED/);
});

test("an error has OpenAI's shape, in a body and in each kind of stream", () => {
  const error = new AppError("worker_lost", "Gone.", { param: "model" });

  assert.deepEqual(errorBody(error), {
    error: { message: "Gone.", type: "server_error", code: "worker_lost", param: "model" },
  });
  assert.equal(
    sseErrorEvent(error, "chat"),
    'data: {"error":{"message":"Gone.","type":"server_error","code":"worker_lost","param":"model"}}\n\n',
  );
  assert.match(
    sseErrorEvent(error, "responses"),
    /^event: error\ndata: \{"type":"error","code":"worker_lost","message":"Gone."/,
  );
});
