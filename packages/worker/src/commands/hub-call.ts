import { request } from "undici";
import * as z from "zod";

import { Stop } from "../exit-code.ts";
import { LIMITS } from "../limits.ts";

/** What a hub answered. */
export interface HubAnswer {
  readonly status: number;
  /** The JSON body; undefined when it is none. */
  readonly body: unknown;
  /** Its `error.message`, where there is one: one line for people. */
  readonly message: string;
  /** How long it asks to be left alone. */
  readonly retryAfterMs: number | undefined;
}

const ERROR = z.looseObject({ error: z.looseObject({ message: z.string() }) });

/**
 * Asks the hub's API. Redirects are not followed: a code or a token would go where nobody meant it to.
 *
 * @throws Stop "hubUnreachable" when there is no answer within the limits
 */
export async function callHub(url: URL, body: object, token?: string): Promise<HubAnswer> {
  try {
    const response = await request(url, {
      method: "POST",
      body: JSON.stringify(body),
      headers: {
        "content-type": "application/json",
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
      },
      signal: AbortSignal.timeout(LIMITS.hubCallTimeoutMs),
    });
    const text = await readText(response.body);
    const parsed = parseJson(text);
    const retryAfter = Number(response.headers["retry-after"] ?? Number.NaN);
    return {
      status: response.statusCode,
      body: parsed,
      message: messageOf(parsed),
      retryAfterMs: Number.isFinite(retryAfter) ? retryAfter * 1000 : undefined,
    };
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : undefined;
    const reason = code ?? (error instanceof Error ? error.message : String(error));
    throw new Stop("hubUnreachable", `${url.host} is not reachable (${reason}); is the hub running?`);
  }
}

async function readText(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > LIMITS.maxHubAnswerBytes) throw new Error("its answer is too long");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function parseJson(text: string): unknown {
  try {
    const parsed: unknown = JSON.parse(text);
    return parsed;
  } catch {
    // A proxy's page, say: the status tells enough.
    return undefined;
  }
}

function messageOf(body: unknown): string {
  const parsed = ERROR.safeParse(body);
  // It is printed: nothing of it may move the cursor.
  return parsed.success ? parsed.data.error.message.replaceAll(/\p{Cc}/gu, " ").slice(0, 300) : "";
}
