import assert from "node:assert/strict";
import { test } from "node:test";

import * as fc from "fast-check";

import type { SseDialect } from "../http/error-body.ts";
import { MAX_EVENT_BYTES } from "./sse-events.ts";
import { SseReader } from "./sse-reader.ts";

const CHUNKS = [
  '{"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}',
  '{"choices":[{"delta":{"content":"Grüße \\"usage\\" [DO"},"finish_reason":null}]}',
  '{"choices":[{"delta":{},"finish_reason":"stop"}]}',
];
const USAGE =
  '{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":9,"prompt_tokens_details":{"cached_tokens":4}}}';

/** The same answer in each way of ending lines, with comments and other fields between. */
const VARIANTS: Readonly<Record<string, string>> = {
  "line feeds": [...CHUNKS, USAGE, "[DONE]"].map((data) => `data: ${data}\n\n`).join(""),
  CRLF: [...CHUNKS, USAGE, "[DONE]"].map((data) => `data: ${data}\r\n\r\n`).join(""),
  "lone carriage returns": [...CHUNKS, USAGE, "[DONE]"].map((data) => `data: ${data}\r\r`).join(""),
  "no space, comments and ids": `: hello\n\n${[...CHUNKS, USAGE, "[DONE]"].map((data, id) => `id: ${id}\ndata:${data}\n\n: x\n\n`).join("")}`,
  "data on two lines": [...CHUNKS, USAGE.replace('"usage"', '\ndata: "usage"'), "[DONE]"]
    .map((data) => `data: ${data}\n\n`)
    .join(""),
  "no blank line at the end": `${[...CHUNKS, USAGE].map((data) => `data: ${data}\n\n`).join("")}data: [DONE]`,
};

interface Read {
  readonly text: string;
  readonly reader: SseReader;
}

function readAll(chunks: readonly Uint8Array[], options: { dialect?: SseDialect; hidesUsage?: boolean } = {}): Read {
  const reader = new SseReader(options.dialect ?? "chat", { hidesUsage: options.hidesUsage ?? false });
  const out = chunks.flatMap((chunk) => reader.push(chunk).bytes);
  return { text: Buffer.concat([...out, ...reader.end().bytes]).toString(), reader };
}

function split(text: string, cuts: readonly number[]): Uint8Array[] {
  const bytes = Buffer.from(text);
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length];
  return places.slice(1).map((end, index) => bytes.subarray(places[index], end));
}

for (const [name, text] of Object.entries(VARIANTS)) {
  test(`with ${name}, cut anywhere, bytes pass unchanged and usage is read`, () => {
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 20 }), (cuts) => {
        const read = readAll(split(text, cuts));

        assert.equal(read.text, text);
        assert.deepEqual(read.reader.usage, { inputTokens: 7, outputTokens: 9, cacheReadTokens: 4 });
        assert.equal(read.reader.state, "terminated");
      }),
      { numRuns: 50 },
    );
  });

  test(`with ${name}, one byte at a time, a hidden usage chunk is gone and all else is there`, () => {
    const bytes = [...Buffer.from(text)].map((byte) => Buffer.from([byte]));

    const read = readAll(bytes, { hidesUsage: true });

    assert.doesNotMatch(read.text, /prompt_tokens/);
    for (const chunk of CHUNKS) assert.ok(read.text.includes(chunk));
    assert.match(read.text, /\[DONE\]/);
    assert.equal(read.reader.usage?.outputTokens, 9);
  });
}

test("an event is passed on the moment it is whole", () => {
  const reader = new SseReader("chat", { hidesUsage: true });

  const half = reader.push(Buffer.from('data: {"choices":[{"delta":{"content":"a"}}]}\n'));
  const whole = reader.push(Buffer.from("\ndata: {"));

  assert.deepEqual(
    [half.bytes.length, Buffer.concat(whole.bytes).toString()],
    [0, 'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'],
  );
});

test("comments, roles and empty deltas are no content; words, thoughts, tool calls and refusals are", () => {
  const hasContent = (event: string): boolean =>
    new SseReader("chat", { hidesUsage: false }).push(Buffer.from(event)).hasContent;
  const delta = (fields: string): string => `data: {"choices":[{"delta":{${fields}},"finish_reason":null}]}\n\n`;

  const without = [
    ": ping\n\n",
    "event: x\n\n",
    delta(""),
    delta('"role":"assistant","content":null'),
    delta('"content":"","tool_calls":[]'),
  ];
  const withContent = [
    delta('"content":"a"'),
    delta('"reasoning_content":"hm"'),
    delta('"tool_calls":[{"index":0}]'),
    delta('"refusal":"no"'),
    'data: {"choices":[{"text":"a"}]}\n\n',
    "data: what is this\n\n",
  ];

  assert.deepEqual(
    without.map(hasContent),
    without.map(() => false),
  );
  assert.deepEqual(
    withContent.map(hasContent),
    withContent.map(() => true),
  );
});

test("behind an error event nothing is passed on", () => {
  const read = readAll([
    Buffer.from('data: {"choices":[{"delta":{"content":"a"}}]}\n\n'),
    Buffer.from('data: {"error":{"message":"x"}}\n\ndata: [DONE]\n\n'),
    Buffer.from("data: [DONE]\n\n"),
  ]);

  assert.equal(read.text, 'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: {"error":{"message":"x"}}\n\n');
  assert.equal(read.reader.state, "failed");
});

test("an error that has no key of its own is told in the form that clients raise on, and nothing behind it", () => {
  const error = { object: "error", message: "out of memory", type: "InternalServerError", param: null, code: 500 };
  const content = 'data: {"choices":[{"delta":{"content":"a"}}]}\n\n';

  const first = readAll([Buffer.from(`data: ${JSON.stringify(error)}\n\n`)]);
  const later = readAll([
    Buffer.from(content),
    Buffer.from(`${content}data: ${JSON.stringify(error)}\n\ndata: [DONE]\n\n`),
  ]);

  assert.equal(first.reader.state, "failed");
  assert.equal(later.reader.state, "failed");
  assert.equal(later.text, `${content}${content}data: ${JSON.stringify({ error })}\n\n`);
});

test("words inside a delta are not taken for the protocol's", () => {
  const text = JSON.stringify({
    choices: [{ delta: { content: 'data: [DONE]\n\n"error":{"x":1} "usage":{"prompt_tokens":5}' } }],
  });

  const { reader } = readAll([Buffer.from(`data: ${text}\n\n`)]);

  assert.equal(reader.state, "answering");
  assert.equal(reader.usage, undefined);
});

test("the Responses API is complete with response.completed, which carries its usage", () => {
  const text =
    'event: response.created\ndata: {"type":"response.created","response":{"usage":null,"error":null}}\n\n' +
    'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"a"}\n\n' +
    'event: response.completed\ndata: {"type":"response.completed","response":{"usage":{"input_tokens":3,"output_tokens":4,"output_tokens_details":{"reasoning_tokens":2}}}}\n\n';

  const whole = readAll([Buffer.from(text)], { dialect: "responses" });
  const cut = readAll([Buffer.from(text.slice(0, text.indexOf("event: response.completed")))], {
    dialect: "responses",
  });

  assert.equal(whole.text, text);
  assert.deepEqual(
    [whole.reader.state, whole.reader.usage],
    ["terminated", { inputTokens: 3, outputTokens: 4, reasoningTokens: 2 }],
  );
  assert.equal(cut.reader.state, "answering");
});

test("usage that is no count is not taken", () => {
  const { reader } = readAll([
    Buffer.from('data: {"choices":[],"usage":{"prompt_tokens":-100,"completion_tokens":1e300}}\n\n'),
  ]);

  assert.deepEqual(reader.usage, {});
});

test("an event up to the limit is held until it is whole, a longer one passes in pieces", () => {
  const event = (bytes: number): string => `data: ${"x".repeat(bytes - 8)}\n\n`;
  const heldOf = (bytes: number): number => {
    const reader = new SseReader("chat", { hidesUsage: false });
    return reader.push(Buffer.from(event(bytes)).subarray(0, bytes - 1)).bytes.length;
  };

  assert.equal(heldOf(MAX_EVENT_BYTES + 1), 0);
  assert.equal(heldOf(MAX_EVENT_BYTES + 2), 1);
  const long = `${event(MAX_EVENT_BYTES * 3)}data: [DONE]\n\n`;
  const read = readAll(split(long, [100_000, 300_000, 600_000, MAX_EVENT_BYTES * 3 - 1]));
  assert.equal(read.text, long);
  assert.equal(read.reader.state, "terminated");
});

const chunkOf = (index: number, rest: object): Uint8Array =>
  Buffer.from(`data: ${JSON.stringify({ choices: [{ index, ...rest }] })}\n\n`);
const word = (index: number): Uint8Array => chunkOf(index, { delta: { content: "a" } });
const stop = (index: number): Uint8Array => chunkOf(index, { delta: {}, finish_reason: "stop" });

test("of several choices each one that began must have its finish reason, or there must be a [DONE]", () => {
  const cut = { "as it began": [word(0), word(1), stop(0)], "as it goes on": [word(0), stop(0), word(1)] };
  for (const [name, chunks] of Object.entries(cut)) {
    assert.equal(readAll(chunks).reader.state, "answering", name);
    assert.equal(readAll([...chunks, stop(1)]).reader.state, "terminated", name);
    assert.equal(readAll([...chunks, Buffer.from("data: [DONE]\n\n")]).reader.state, "terminated", name);
  }
});

test("a chunk behind the finish reason of its choice changes nothing", () => {
  assert.equal(readAll([word(0), stop(0), chunkOf(0, { delta: {} })]).reader.state, "terminated");
});

function event(type: string, more: object = {}): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`;
}

const FAMILIES = [
  ["speech.audio.delta", "speech.audio.done"],
  ["transcript.text.delta", "transcript.text.done"],
  ["transcript.text.segment", "transcript.text.done"],
  ["image_generation.partial_image", "image_generation.completed"],
  ["image_edit.partial_image", "image_edit.completed"],
] as const;

test("an answer of the images or audio API is complete with its end event", () => {
  for (const [first, last] of FAMILIES) {
    for (const end of [event(last), `data: {"type": "${last}"}\n\n`, "data: [DONE]\n\n"]) {
      const cut = readAll([Buffer.from(event(first, { delta: `"${last}"` }))], { dialect: "plain" });
      const whole = readAll([Buffer.from(event(first)), Buffer.from(end)], { dialect: "plain" });

      assert.deepEqual([cut.reader.state, whole.reader.state], ["answering", "terminated"], `${first} ${end}`);
      assert.equal(whole.text, event(first) + end);
    }
  }
});

test("events of an unknown form, and images too long to be looked into, have no end that is asked for", () => {
  const long = event("image_generation.completed", { b64_json: "A".repeat(MAX_EVENT_BYTES) });
  const streams = ["data: hello\n\n", 'data: {"text":"a"}\n\n', event("image_generation.partial_image") + long];

  for (const text of streams) {
    const { reader } = readAll([Buffer.from(text.slice(0, -10)), Buffer.from(text.slice(-10))], { dialect: "plain" });

    assert.equal(reader.state, "terminated", text.slice(0, 40));
  }
});
