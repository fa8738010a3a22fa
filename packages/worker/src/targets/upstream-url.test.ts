import assert from "node:assert/strict";
import { test } from "node:test";

import { upstreamPath } from "./upstream-url.ts";

for (const [base, path, expected] of [
  ["http://h", "/v1/chat/completions", "/v1/chat/completions"],
  ["http://h/v1", "/v1/chat/completions", "/v1/chat/completions"],
  ["http://h/v1/", "/v1/chat/completions", "/v1/chat/completions"],
  ["http://h/api/v1", "/v1/chat/completions", "/api/v1/chat/completions"],
  ["http://h/v1/chat/completions", "/v1/chat/completions", "/v1/chat/completions"],
  ["http://h/openai", "/v1/embeddings", "/openai/v1/embeddings"],
  ["http://h/v1/x", "/v1/embeddings", "/v1/x/v1/embeddings"],
] as const) {
  test(`${base} and ${path} give ${expected}`, () => {
    assert.equal(upstreamPath(new URL(base), path, ""), expected);
  });
}

test("the request's query replaces that of the base", () => {
  assert.equal(upstreamPath(new URL("http://h/v1?a=1"), "/v1/models", "b=2"), "/v1/models?b=2");
  assert.equal(upstreamPath(new URL("http://h/v1?a=1"), "/v1/models", ""), "/v1/models");
});
