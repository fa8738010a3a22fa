import assert from "node:assert/strict";
import { test } from "node:test";

import { AIMessageChunk, type UsageMetadata } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";
import * as z from "zod";

import { testBothWays } from "./both-ways.ts";
import { simulatedText } from "./http-exchange.ts";
import { type Access, System } from "./system.ts";

/** Does not retry: a retry by the SDK would hide a failure. */
function connection({ apiKey, baseURL }: Access) {
  return { apiKey, configuration: { baseURL }, maxRetries: 0, timeout: 20_000 };
}

/** @param simulate How the simulated engine answers. */
function simulatedChat(access: Access, simulate: object): ChatOpenAI {
  return new ChatOpenAI({ model: "simulated", modelKwargs: { simulate }, ...connection(access) });
}

function tinyChat(access: Access): ChatOpenAI {
  return new ChatOpenAI({ model: "tiny", temperature: 0, maxTokens: 40, ...connection(access) });
}

/** The generic message types lose this field's type between them. */
function usageOf(message: object): UsageMetadata {
  const { usage_metadata: usage } = message as { usage_metadata?: UsageMetadata };
  assert.ok(usage !== undefined);
  return usage;
}

test("LangChain", async (t) => {
  await testBothWays(t, {
    "invoke gives text and usage": async ({ tiny }) => {
      const answer = await tinyChat(tiny).invoke("Hello there!");

      assert.match(answer.text, /\w{2,}/);
      const usage = usageOf(answer);
      assert.ok(usage.output_tokens > 0);
      assert.equal(usage.total_tokens, usage.input_tokens + usage.output_tokens);
    },

    "stream gives the same text in pieces, and the same usage": async ({ tiny }) => {
      const chat = tinyChat(tiny);
      const whole = await chat.invoke("Hello there!");

      const pieces = await Array.fromAsync(await chat.stream("Hello there!"));

      const sum = pieces.reduce((one, other) => one.concat(other), new AIMessageChunk(""));
      assert.equal(sum.text, whole.text);
      assert.equal(usageOf(sum).output_tokens, usageOf(whole).output_tokens);
    },

    "a bound tool is called, whole and streamed": async ({ simulated }) => {
      const lookUp = tool(() => "found", { name: "look_up", schema: z.object({ text: z.string() }) });
      const chat = simulatedChat(simulated, { toolCalls: true, tokens: 3 }).bindTools([lookUp]);

      const whole = await chat.invoke("Look.");
      const pieces = await Array.fromAsync(await chat.stream("Look."));

      const streamed = pieces.reduce((one, other) => one.concat(other));
      for (const { tool_calls: calls } of [whole, streamed]) {
        assert.deepEqual([calls?.[0]?.name, calls?.[0]?.args], ["look_up", { text: simulatedText(3) }]);
      }
    },

    "embeddings of documents and of a query": async ({ tiny }) => {
      const embeddings = new OpenAIEmbeddings({ model: "tiny", ...connection(tiny) });

      const documents = await embeddings.embedDocuments(["a small boat", "the sea"]);
      const query = await embeddings.embedQuery("a small boat");

      assert.equal(documents.length, 2);
      assert.deepEqual(documents[0], query);
      assert.notDeepEqual(documents[1], query);
    },

    "what the engine refuses is raised with its status": async ({ simulated }) => {
      await assert.rejects(simulatedChat(simulated, { status: 400 }).invoke("Hello"), { status: 400 });
      await assert.rejects(simulatedChat(simulated, { status: 429 }).invoke("Hello"), { status: 429 });
    },

    "a stream that is aborted in the middle is cancelled at the engine": async ({ simulated, engine }) => {
      const before = engine.counts().cancelled;
      const chat = simulatedChat(simulated, { tokens: 10_000, intervalMs: 5 });
      const controller = new AbortController();
      let text = "";

      await assert.rejects(async () => {
        for await (const piece of await chat.stream("Go on.", { signal: controller.signal })) {
          text += piece.text;
          if (text.includes("token-3")) controller.abort();
        }
      });
      await engine.waitFor((counts) => counts.cancelled === before + 1);

      assert.match(text, /^token-0 token-1 token-2 token-3/);
    },
  });
});

test("LangChain's errors at the hub", async (t) => {
  await using system = await System.start(t);

  await t.test("an engine that breaks off in the middle is an error of the stream, not its end", async () => {
    const chat = simulatedChat(system.access, { cutAfter: 5, intervalMs: 10 });
    let text = "";

    await assert.rejects(async () => {
      for await (const piece of await chat.stream("Go on.")) text += piece.text;
    });

    // What the engine wrote right before it broke off may be lost with its socket, so the last pieces may be missing.
    assert.ok(simulatedText(5).startsWith(text), text);
  });

  await t.test("a wrong key is raised with status 401", async () => {
    const chat = simulatedChat({ ...system.access, apiKey: "sk-wrong" }, {});

    await assert.rejects(chat.invoke("Hello"), { status: 401 });
  });
});
