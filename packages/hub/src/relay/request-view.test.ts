import assert from "node:assert/strict";
import { test } from "node:test";

import * as fc from "fast-check";

import type { IncomingBody } from "../http/incoming-body.ts";
import { OPERATIONS } from "./operation.ts";
import { type BodyStorage, type RequestView, splice, viewRequest } from "./request-view.ts";

const CHAT = OPERATIONS[0] ?? assert.fail();
const HINTS = { contentType: "application/json", contentLength: undefined, model: undefined };

/** A body that gives these chunks. */
const STORAGE: BodyStorage = { hold() {}, openSpool: () => Promise.reject(new Error("JSON is not spooled")) };

function bodyFrom(chunks: readonly Uint8Array[]): Pick<IncomingBody, "next" | "received"> {
  const left = [...chunks];
  let received = 0;
  return {
    get received() {
      return received;
    },
    next: () => {
      const chunk = left.shift();
      received += chunk?.length ?? 0;
      return Promise.resolve(chunk);
    },
  };
}

function view(text: string, cuts: readonly number[] = []): Promise<RequestView> {
  const bytes = Buffer.from(text);
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length];
  const chunks = places.slice(1).map((end, index) => bytes.subarray(places[index], end));
  // The view uses these two members only.
  return viewRequest(CHAT, bodyFrom(chunks) as IncomingBody, { hints: HINTS, storage: STORAGE });
}

function textOf(seen: RequestView): string {
  const body = Buffer.concat(seen.body.held);
  assert.equal(body.length, seen.body.length);
  return body.toString();
}

test("a request that is not streamed keeps its bytes", async () => {
  const text = '{ "model":"m",\n "max_tokens": 5, "unknown":[1.0,2e0] }';

  const seen = await view(text);

  assert.equal(textOf(seen), text);
  assert.deepEqual([seen.model, seen.isStreamed, seen.maxTokens, seen.hidesUsage], ["m", false, 5, false]);
});

test("a streamed one asks for usage by changing stream_options alone", async () => {
  const changed: Record<string, string> = {};
  for (const options of [
    "",
    ',"stream_options":null',
    ',"stream_options":{}',
    ',"stream_options" : {"include_usage":false,"x":1}',
  ]) {
    const seen = await view(`{"model":"m","stream":true${options},"a":1.0}`);
    assert.equal(seen.hidesUsage, true);
    changed[options] = textOf(seen);
  }

  assert.deepEqual(changed, {
    "": '{"stream_options":{"include_usage":true},"model":"m","stream":true,"a":1.0}',
    ',"stream_options":null': '{"model":"m","stream":true,"stream_options":{"include_usage":true},"a":1.0}',
    ',"stream_options":{}': '{"model":"m","stream":true,"stream_options":{"include_usage":true},"a":1.0}',
    ',"stream_options" : {"include_usage":false,"x":1}':
      '{"model":"m","stream":true,"stream_options" : {"include_usage":true,"x":1},"a":1.0}',
  });
});

test("a client that asked for usage itself keeps its bytes and its usage chunk", async () => {
  const text = '{"stream_options":{"include_usage":true},"model":"m","stream":true}';

  const seen = await view(text);

  assert.equal(textOf(seen), text);
  assert.equal(seen.hidesUsage, false);
});

test("any streamed request, split anywhere, is the same request with usage asked for", async () => {
  const extra = fc.dictionary(
    fc.string().filter((key) => !key.startsWith("max_") && !["model", "stream"].includes(key)),
    fc.jsonValue(),
  );
  const options = fc.option(fc.dictionary(fc.string(), fc.jsonValue()), { nil: undefined });
  await fc.assert(
    fc.asyncProperty(extra, options, fc.array(fc.nat(), { maxLength: 5 }), async (fields, streamOptions, cuts) => {
      const { stream_options: _, ...others } = fields;
      const request = { ...others, stream: true, model: "m", ...(streamOptions && { stream_options: streamOptions }) };

      const seen = await view(JSON.stringify(request), cuts);

      const expected = { ...request, stream_options: { ...streamOptions, include_usage: true } };
      assert.deepEqual(JSON.parse(textOf(seen)), JSON.parse(JSON.stringify(expected)));
    }),
    { numRuns: 200 },
  );
});

test("a splice replaces exactly its bytes, however they are cut", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ maxLength: 5 })), fc.nat(30), fc.nat(30), (parts, a, b) => {
      const whole = Buffer.from(parts.join(""));
      const start = Math.min(a, b, whole.length);
      const end = Math.min(Math.max(a, b), whole.length);
      const chunks = parts.map((part) => Buffer.from(part));

      const spliced = Buffer.concat(splice(chunks, { start, end }, Buffer.from("#")));

      assert.deepEqual(spliced, Buffer.concat([whole.subarray(0, start), Buffer.from("#"), whole.subarray(end)]));
    }),
  );
});
