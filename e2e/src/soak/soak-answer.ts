import { createHash } from "node:crypto";

/** What a soak's request asks for, in its field `soak`. */
export interface SoakAnswer {
  /** Makes each answer another one, so that bytes of two streams cannot be taken for each other. */
  readonly tag: string;
  readonly tokens: number;
  readonly everyMs: number;
}

interface Chunk {
  readonly text: string;
  /** Before it is sent. */
  readonly waitMs: number;
}

/** The body of a request that is answered so. */
export function soakBody(model: string, soak: SoakAnswer): object {
  return { model, stream: true, messages: [{ role: "user", content: soak.tag }], soak };
}

/** The events of the answer to a body that `soakBody` made: the same at the worker that sends and at the client that checks. */
export function chunksOf(body: string): Chunk[] {
  // Only bodies of `soakBody` come here.
  const { tag, tokens, everyMs } = (JSON.parse(body) as { soak: SoakAnswer }).soak;
  const chunks: Chunk[] = [];
  for (let index = 0; index < tokens; index += 1) {
    const word = createHash("sha256").update(`${tag} ${index}`).digest("base64url");
    const delta = { choices: [{ index: 0, delta: { content: word } }] };
    chunks.push({ text: `data: ${JSON.stringify(delta)}\n\n`, waitMs: index === 0 ? 0 : everyMs });
  }
  chunks.push({ text: "data: [DONE]\n\n", waitMs: 0 });
  return chunks;
}

/** All bytes of the answer. */
export function answerOf(body: string): string {
  return chunksOf(body)
    .map((chunk) => chunk.text)
    .join("");
}
