import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI, { toFile } from "openai";

import { testBothWays } from "./both-ways.ts";
import { simulatedText } from "./http-exchange.ts";
import { type Access, System } from "./system.ts";

const HELLO: OpenAI.ChatCompletionMessageParam[] = [{ role: "user", content: "Hello there!" }];
const TOOL = {
  type: "function",
  function: { name: "look_up", parameters: { type: "object", properties: { text: { type: "string" } } } },
} as const;

/** Does not retry: a retry by the SDK would hide a failure. */
function clientOf(access: Access): OpenAI {
  return new OpenAI({ ...access, maxRetries: 0, timeout: 20_000 });
}

/** How the simulated engine answers. The SDK sends fields that it does not know. */
function simulating(simulate: object): object {
  return { simulate };
}

const GREEDY = { model: "tiny", messages: HELLO, temperature: 0, max_tokens: 40 };

test("the official openai SDK", async (t) => {
  await testBothWays(t, {
    "a chat answer has text, an end and a usage that adds up": async ({ tiny }) => {
      const answer = await clientOf(tiny).chat.completions.create(GREEDY);

      assert.match(answer.choices[0]?.message.content ?? "", /\w{2,}/);
      assert.equal(answer.choices[0]?.finish_reason, "stop");
      assert.ok(answer.usage !== undefined && answer.usage.completion_tokens > 0);
      assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
    },

    "a stream of real tokens adds up to the answer that is not streamed": async ({ tiny }) => {
      const client = clientOf(tiny);
      const whole = await client.chat.completions.create(GREEDY);

      const stream = await client.chat.completions.create({
        ...GREEDY,
        stream: true,
        stream_options: { include_usage: true },
      });
      const chunks = await Array.fromAsync(stream);

      const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
      assert.equal(text, whole.choices[0]?.message.content);
      assert.equal(chunks.findLast((chunk) => chunk.choices[0]?.finish_reason)?.choices[0]?.finish_reason, "stop");
      assert.deepEqual(chunks.at(-1)?.usage, whole.usage);
    },

    "a client that did not ask for usage gets no chunk without choices": async ({ simulated }) => {
      const stream = await clientOf(simulated).chat.completions.create({
        model: "simulated",
        messages: HELLO,
        stream: true,
      });
      const chunks = await Array.fromAsync(stream);

      assert.deepEqual(
        chunks.filter((chunk) => chunk.choices.length === 0 || chunk.usage != null),
        [],
      );
      assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""), simulatedText(20));
    },

    "a tool call comes whole": async ({ simulated }) => {
      const answer = await clientOf(simulated).chat.completions.create({
        model: "simulated",
        messages: HELLO,
        tools: [TOOL],
        ...simulating({ toolCalls: true, tokens: 5 }),
      });

      const call = answer.choices[0]?.message.tool_calls?.[0];
      assert.equal(answer.choices[0]?.finish_reason, "tool_calls");
      assert.ok(call?.type === "function");
      assert.deepEqual(
        [call.function.name, JSON.parse(call.function.arguments)],
        ["look_up", { text: simulatedText(5) }],
      );
    },

    "a streamed tool call is put together by the SDK": async ({ simulated }) => {
      const stream = clientOf(simulated).chat.completions.stream({
        model: "simulated",
        messages: HELLO,
        tools: [TOOL],
        ...simulating({ toolCalls: true, tokens: 5 }),
      });

      const call = await stream.finalFunctionToolCall();

      assert.equal(call?.name, "look_up");
      assert.deepEqual(JSON.parse(call.arguments), { text: simulatedText(5) });
    },

    "reasoning comes beside the text": async ({ simulated }) => {
      const stream = await clientOf(simulated).chat.completions.create({
        model: "simulated",
        messages: HELLO,
        stream: true,
        ...simulating({ reasoning: true, tokens: 4 }),
      });
      const deltas = (await Array.fromAsync(stream)).map((chunk) => chunk.choices[0]?.delta);

      const reasoning = deltas
        .map((delta) => (delta as { reasoning_content?: string }).reasoning_content ?? "")
        .join("");
      assert.equal(reasoning, "token-0 token-1");
      assert.equal(deltas.map((delta) => delta?.content ?? "").join(""), " token-2 token-3");
    },

    "a legacy completion comes whole and streamed": async ({ tiny }) => {
      const client = clientOf(tiny);
      const request = { model: "tiny", prompt: "Once upon a time", temperature: 0, max_tokens: 12 };

      const whole = await client.completions.create(request);
      const chunks = await Array.fromAsync(await client.completions.create({ ...request, stream: true }));

      assert.match(whole.choices[0]?.text ?? "", /\w{2,}/);
      assert.equal(chunks.map((chunk) => chunk.choices[0]?.text ?? "").join(""), whole.choices[0]?.text);
    },

    "the Responses API answers whole and in events": async ({ simulated }) => {
      const client = clientOf(simulated);

      const whole = await client.responses.create({ model: "simulated", input: "Hello" });
      const stream = await client.responses.create({ model: "simulated", input: "Hello", stream: true });
      const events = await Array.fromAsync(stream);

      assert.equal(whole.output_text, simulatedText(20));
      const last = events.at(-1);
      assert.ok(last?.type === "response.completed");
      assert.equal(last.response.usage?.output_tokens, 20);
      const deltas = events.filter((event) => event.type === "response.output_text.delta");
      assert.equal(deltas.map((event) => event.delta).join(""), simulatedText(20));
    },

    "an embedding is the same as base64 and as numbers": async ({ tiny }) => {
      const client = clientOf(tiny);
      const request = { model: "tiny", input: ["a small boat", "the sea"] };

      const packed = await client.embeddings.create(request);
      const plain = await client.embeddings.create({ ...request, encoding_format: "float" });

      assert.deepEqual(
        packed.data.map((item) => item.index),
        [0, 1],
      );
      assert.ok((plain.data[0]?.embedding.length ?? 0) > 8);
      assert.notDeepEqual(plain.data[0]?.embedding, plain.data[1]?.embedding);
      const first = plain.data[0]?.embedding ?? [];
      // Base64 holds 32-bit floats, the numbers are printed from them.
      packed.data[0]?.embedding.forEach((value, index) => assert.ok(Math.abs(value - (first[index] ?? NaN)) < 1e-6));
    },

    "moderations, images and speech answer in their own shapes": async ({ simulated }) => {
      const client = clientOf(simulated);

      const moderation = await client.moderations.create({ model: "simulated", input: ["a", "b"] });
      const image = await client.images.generate({ model: "simulated", prompt: "a boat", n: 2 });
      const speech = await client.audio.speech.create({ model: "simulated", voice: "alloy", input: "Hello" });

      assert.equal(moderation.results.length, 2);
      assert.deepEqual(
        image.data?.map((item) => item.b64_json?.slice(0, 4)),
        ["iVBO", "iVBO"],
      );
      assert.equal(speech.headers.get("content-type"), "audio/mpeg");
      assert.equal((await speech.arrayBuffer()).byteLength, 2000);
    },

    "a sound file is uploaded, with the file before the model in the form": async ({ simulated }) => {
      const file = await toFile(Buffer.alloc(300_000, "sound "), "sound.wav", { type: "audio/wav" });

      const transcription = await clientOf(simulated).audio.transcriptions.create({ file, model: "simulated" });

      assert.equal(transcription.text, simulatedText(20));
      const { received_bytes: received } = transcription as unknown as { received_bytes: number };
      assert.ok(received > 300_000 && received < 301_000, `${received} bytes arrived`);
    },

    "the models are listed and described": async ({ simulated }) => {
      const client = clientOf(simulated);

      const listed = await Array.fromAsync(client.models.list());
      const one = await client.models.retrieve("simulated");

      assert.ok(listed.some((model) => model.id === "simulated" && model.object === "model"));
      assert.deepEqual([one.id, one.object], ["simulated", "model"]);
    },

    "what the engine refuses is raised as the SDK's own error": async ({ simulated }) => {
      const client = clientOf(simulated);
      const ask = (status: number) =>
        client.chat.completions.create({ model: "simulated", messages: HELLO, ...simulating({ status }) });

      await assert.rejects(
        ask(400),
        (error) => error instanceof OpenAI.BadRequestError && /as it was told/.test(error.message),
      );
      await assert.rejects(
        ask(429),
        (error) => error instanceof OpenAI.RateLimitError && error.headers.get("retry-after") !== null,
      );
      await assert.rejects(ask(500), OpenAI.InternalServerError);
    },

    "a stream that is aborted in the middle is cancelled at the engine": async ({ simulated, engine }) => {
      const before = engine.counts().cancelled;
      const stream = await clientOf(simulated).chat.completions.create({
        model: "simulated",
        messages: HELLO,
        stream: true,
        ...simulating({ tokens: 10_000, intervalMs: 5 }),
      });
      let text = "";
      for await (const chunk of stream) {
        text += chunk.choices[0]?.delta.content ?? "";
        if (text.includes("token-3")) break;
      }

      await engine.waitFor((counts) => counts.cancelled === before + 1);

      assert.match(text, /^token-0 token-1 token-2 token-3/);
    },
  });
});

test("the openai SDK's errors at the hub", async (t) => {
  await using system = await System.start(t);
  const ask = (access: Access, model: string) => clientOf(access).chat.completions.create({ model, messages: HELLO });

  await t.test("a wrong key is an authentication error", async () => {
    await assert.rejects(ask({ ...system.access, apiKey: "sk-wrong" }, "simulated"), (error) => {
      assert.ok(error instanceof OpenAI.AuthenticationError);
      assert.equal(error.code, "invalid_api_key");
      return true;
    });
  });

  await t.test("an unknown model is a not-found error that names the field", async () => {
    await assert.rejects(ask(system.access, "no-such-model"), (error) => {
      assert.ok(error instanceof OpenAI.NotFoundError);
      assert.deepEqual([error.code, error.param], ["model_not_found", "model"]);
      assert.match(error.message, /no-such-model/);
      assert.ok(error.requestID);
      return true;
    });
  });

  await t.test("a request without a model says which field is missing", async () => {
    const client = clientOf(system.access);
    const request = { messages: HELLO } as unknown as OpenAI.ChatCompletionCreateParamsNonStreaming;
    await assert.rejects(client.chat.completions.create(request), (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError);
      assert.deepEqual([error.code, error.param], ["missing_required_parameter", "model"]);
      return true;
    });
  });
});
