import assert from "node:assert/strict";
import { test } from "node:test";

import { createOpenAICompatible, type OpenAICompatibleProvider } from "@ai-sdk/openai-compatible";
import { APICallError, embedMany, generateText, stepCountIs, streamText, tool } from "ai";
import * as z from "zod";

import { testBothWays } from "./both-ways.ts";
import { simulatedText } from "./http-exchange.ts";
import { type Access, System } from "./system.ts";

/** @param simulate How the simulated engine answers. */
function providerOf(access: Access, simulate?: object): OpenAICompatibleProvider {
  return createOpenAICompatible({
    name: "tokilake",
    ...access,
    includeUsage: true,
    ...(simulate !== undefined && { transformRequestBody: (body) => ({ ...body, simulate }) }),
  });
}

/** Does not retry: a retry by the SDK would hide a failure. */
const once = { maxRetries: 0 };

test("the AI SDK", async (t) => {
  await testBothWays(t, {
    "generateText gives text, an end and usage": async ({ tiny }) => {
      const model = providerOf(tiny).chatModel("tiny");

      const answer = await generateText({
        model,
        prompt: "Hello there!",
        temperature: 0,
        maxOutputTokens: 40,
        ...once,
      });

      assert.match(answer.text, /\w{2,}/);
      assert.equal(answer.finishReason, "stop");
      const { inputTokens = 0, outputTokens = 0, totalTokens } = answer.usage;
      assert.ok(inputTokens > 0 && outputTokens > 0);
      assert.equal(totalTokens, inputTokens + outputTokens);
    },

    "streamText gives the same text in pieces, and usage": async ({ tiny }) => {
      const model = providerOf(tiny).chatModel("tiny");
      const request = { model, prompt: "Hello there!", temperature: 0, maxOutputTokens: 40, ...once };
      const whole = await generateText(request);

      const stream = streamText(request);
      const pieces = await Array.fromAsync(stream.textStream);

      assert.ok(pieces.length > 1);
      assert.equal(pieces.join(""), whole.text);
      assert.equal((await stream.usage).outputTokens, whole.usage.outputTokens);
    },

    "reasoning comes beside the text": async ({ simulated }) => {
      const model = providerOf(simulated, { reasoning: true, tokens: 4 }).chatModel("simulated");

      const stream = streamText({ model, prompt: "Think.", ...once });

      assert.equal(await stream.reasoningText, "token-0 token-1");
      assert.equal(await stream.text, " token-2 token-3");
    },

    "a tool is called with the streamed arguments and its result goes back": async ({ simulated, engine }) => {
      const model = providerOf(simulated, { toolCalls: true, tokens: 3 }).chatModel("simulated");
      const asked: string[] = [];
      const lookUp = tool({
        inputSchema: z.object({ text: z.string() }),
        execute: ({ text }) => {
          asked.push(text);
          return "found";
        },
      });
      const before = engine.requests.length;

      const stream = streamText({ model, prompt: "Look.", tools: { lookUp }, stopWhen: stepCountIs(2), ...once });
      await stream.consumeStream();

      assert.deepEqual(asked, [simulatedText(3), simulatedText(3)]);
      const second = engine.requests[before + 1]?.bodyText ?? "";
      assert.match(second, /"role":"tool"/);
      assert.match(second, /found/);
    },

    "embedMany gives a vector for each value": async ({ tiny }) => {
      const model = providerOf(tiny).embeddingModel("tiny");

      const { embeddings, usage } = await embedMany({ model, values: ["a small boat", "the sea"], ...once });

      assert.equal(embeddings.length, 2);
      assert.ok((embeddings[0]?.length ?? 0) > 8);
      assert.notDeepEqual(embeddings[0], embeddings[1]);
      assert.ok(usage.tokens > 0);
    },

    "what the engine refuses is an APICallError with its status": async ({ simulated }) => {
      const refused = (status: number) =>
        generateText({ model: providerOf(simulated, { status }).chatModel("simulated"), prompt: "Hello", ...once });

      await assert.rejects(refused(400), (error) => APICallError.isInstance(error) && error.statusCode === 400);
      await assert.rejects(
        refused(429),
        (error) => APICallError.isInstance(error) && error.statusCode === 429 && error.isRetryable,
      );
    },

    "a stream that is aborted in the middle is cancelled at the engine": async ({ simulated, engine }) => {
      const before = engine.counts().cancelled;
      const model = providerOf(simulated, { tokens: 10_000, intervalMs: 5 }).chatModel("simulated");
      const controller = new AbortController();

      const stream = streamText({ model, prompt: "Go on.", abortSignal: controller.signal, ...once });
      let text = "";
      for await (const piece of stream.textStream) {
        text += piece;
        if (text.includes("token-3")) controller.abort();
      }
      await engine.waitFor((counts) => counts.cancelled === before + 1);

      assert.match(text, /^token-0 token-1 token-2 token-3/);
    },
  });
});

test("the AI SDK's errors at the hub", async (t) => {
  await using system = await System.start(t);

  await t.test("an engine that breaks off in the middle is an error of the stream, not its end", async () => {
    const model = providerOf(system.access, { cutAfter: 5, intervalMs: 10 }).chatModel("simulated");
    const errors: unknown[] = [];

    const stream = streamText({ model, prompt: "Go on.", ...once, onError: ({ error }) => void errors.push(error) });
    const pieces = await Array.fromAsync(stream.textStream);

    // What the engine wrote right before it broke off may be lost with its socket, so the last pieces may be missing.
    assert.ok(simulatedText(5).startsWith(pieces.join("")), pieces.join(""));
    assert.equal(errors.length, 1);
    assert.equal(await stream.finishReason, "error");
  });

  await t.test("a wrong key is an APICallError 401 that is not retried", async () => {
    const model = providerOf({ ...system.access, apiKey: "sk-wrong" }).chatModel("simulated");

    await assert.rejects(
      generateText({ model, prompt: "Hello" }),
      (error) => APICallError.isInstance(error) && error.statusCode === 401 && /API key/.test(error.message),
    );
  });
});
