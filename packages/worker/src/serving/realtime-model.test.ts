import assert from "node:assert/strict";
import { test } from "node:test";

import { TunnelError } from "@tokilake/tunnel";

import { reviseRealtime } from "./realtime-model.ts";

const MODELS = {
  upstreamOf: () => "org/m",
  publishedOf: (name: string) => (name === "stt" ? "org/whisper" : undefined),
};

function revised(text: string, isText = true): string {
  return Buffer.from(reviseRealtime({ data: Buffer.from(text), isText, isFromSocket: false }, MODELS)).toString();
}

test("whatever a message calls the model, the engine reads the connection's", () => {
  for (const [sent, read] of [
    ['{"type":"session.update","model":"other"}', '{"type":"session.update","model":"org/m"}'],
    ['{"type":"session.update","session":{"model":"other","voice":"x"}}', '"session":{"model":"org/m","voice":"x"}'],
    ['{"type":"response.create","response":{"model":"other"}}', '"response":{"model":"org/m"}'],
    [
      '{"session":{"MODEL":"other"},"Session":{"Model":7}}',
      '{"session":{"MODEL":"org/m"},"Session":{"Model":"org/m"}}',
    ],
    ['{"session":{"\\u006dodel":"other"}}', '{"session":{"model":"org/m"}}'],
    ['{"session":{"model":"other"},"session":{}}', '{"session":{}}'],
    ['{"model":"other","model":"m"}', '{"model":"org/m"}'],
    ['{"model":null}', '{"model":"org/m"}'],
  ] as const) {
    assert.ok(revised(sent).includes(read), `${sent} became ${revised(sent)}`);
    assert.equal(revised(sent, false), revised(sent));
  }
});

test("the model that writes input down is a published one, or the engine's own", () => {
  assert.equal(
    revised('{"session":{"audio":{"input":{"transcription":{"model":"stt","language":"en"}}}}}'),
    '{"session":{"audio":{"input":{"transcription":{"model":"org/whisper","language":"en"}}}}}',
  );
  assert.equal(
    revised('{"session":{"input_audio_transcription":{"model":"whisper-1"},"voice":"x"}}'),
    '{"session":{"input_audio_transcription":{},"voice":"x"}}',
  );
});

test("what names no model passes as it came, and words about models keep their meaning", () => {
  const audio = '{ "type":"input_audio_buffer.append","audio":"AAAA" , "audio":"BBBB"}';
  const words = '{"type":"conversation.item.create","item":{"model":"x","content":[{"text":"which model?"}]}}';
  const tool = '{"session":{"tools":[{"parameters":{"properties":{"model":{"type":"string"}}}}]}}';

  for (const text of [audio, words, tool]) assert.equal(revised(text), text);
  assert.equal(revised("\u0000model", false), "\u0000model");
  assert.equal(revised('["model"]'), '["model"]');
});

test("a text that may name a model and is no JSON reaches no engine", () => {
  for (const text of ["{'model':'other'}", '{"model":"other"', '{"model":"other",}', "\\u006dodel"]) {
    assert.throws(
      () => revised(text),
      (error) => error instanceof TunnelError && error.code === "forbidden",
    );
  }
});
