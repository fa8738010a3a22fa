import { type PassingMessage, TunnelError } from "@tokilake/tunnel";

/** What a client may call models in its messages. */
export interface RealtimeModels {
  /** The engine's name of the connection's model. Whatever a message calls it, the engine reads this one. */
  upstreamOf(name: string): string;
  /** The engine's name of another published model; undefined when the name is not published. */
  publishedOf(name: string): string | undefined;
}

/**
 * A client's message as the engine may read it: no other model than a published one.
 *
 * The model is chosen when a realtime session is opened and cannot be changed (OpenAI API reference, `session.update`), but
 * engines differ: vLLM takes it from `model` of `session.update`. Input is written down by a model of its own; a name that
 * is not published is left out there, so that the engine takes its default.
 *
 * Only messages that may name a model are parsed. They are written anew, so that of two equal keys the engine cannot read
 * the one that was not looked at.
 *
 * @throws TunnelError "forbidden" for a text that may name a model and is no JSON: a tolerant engine might still read it.
 */
export function reviseRealtime({ data, isText }: PassingMessage, models: RealtimeModels): Uint8Array {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  if (!MAY_NAME_MODEL.test(bytes.toString("latin1"))) return data;
  const event = parse(bytes.toString());
  if (event === undefined && isText) {
    throw new TunnelError("forbidden", { message: "a realtime message is not valid JSON" });
  }
  // Not an event, such as audio in a binary message.
  if (!isObject(event)) return data;
  for (const holder of [event, ...valuesOf(event, "session"), ...valuesOf(event, "response")]) {
    for (const key of keysOf(holder, "model")) holder[key] = models.upstreamOf(String(holder[key]));
  }
  for (const transcription of transcriptionsOf(event)) {
    for (const key of keysOf(transcription, "model")) {
      const upstream = models.publishedOf(String(transcription[key]));
      if (upstream === undefined) delete transcription[key];
      else transcription[key] = upstream;
    }
  }
  return Buffer.from(JSON.stringify(event));
}

/** Also with escapes: `"mod\u0065l"`. In any case of letters, as engines written in Go take `Model`, too. */
const MAY_NAME_MODEL = /model|\\u/i;

type JsonObject = Record<string, unknown>;

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function keysOf(object: JsonObject, name: string): string[] {
  return Object.keys(object).filter((key) => key.toLowerCase() === name);
}

function valuesOf(object: JsonObject, name: string): JsonObject[] {
  return keysOf(object, name)
    .map((key) => object[key])
    .filter(isObject);
}

/** `session.audio.input.transcription`, and `session.input_audio_transcription` of the beta. */
function transcriptionsOf(event: JsonObject): JsonObject[] {
  const sessions = valuesOf(event, "session");
  const inputs = sessions.flatMap((session) => valuesOf(session, "audio")).flatMap((audio) => valuesOf(audio, "input"));
  return [
    ...inputs.flatMap((input) => valuesOf(input, "transcription")),
    ...sessions.flatMap((session) => valuesOf(session, "input_audio_transcription")),
  ];
}
