import { networkInterfaces } from "node:os";

import type { StartKeys } from "./start-keys.ts";

/** What is shown when everything runs. */
export interface BannerFacts {
  /** Of the hub, as this machine reaches it. */
  readonly url: string;
  readonly keys: StartKeys;
  readonly models: readonly string[];
  /** Where the models come from, in a few words. */
  readonly source: string;
  /** Makes whoever opens it root; undefined: somebody is. */
  readonly setUpLink: string | undefined;
}

/** The model names shown; a machine with fifty models does not need them all here. */
const SHOWN_MODELS = 6;

/**
 * The block that `npm start` prints: an address, a key, how to become root, a command that works, and how to join another machine.
 */
export function banner({ url, keys, models, source, setUpLink }: BannerFacts): string {
  const more = models.length > SHOWN_MODELS ? `, and ${models.length - SHOWN_MODELS} more` : "";
  const lines = [
    "",
    "  Tokilake is running. Ctrl-C lets running answers finish and stops it.",
    "",
    `  Address   ${url}   (OpenAI SDKs: base_url ${url}/v1)`,
    `  API key   ${keys.apiKey}`,
    `  Models    ${models.slice(0, SHOWN_MODELS).join(", ")}${more}`,
    `            ${source}`,
    "",
    ...(setUpLink === undefined ? [] : ["  Become root, to let others in. Open within an hour:", "", setUpLink, ""]),
    "  Try it:",
    "",
    `curl -N ${url}/v1/chat/completions -H "Authorization: Bearer ${keys.apiKey}" -H "Content-Type: application/json" \\`,
    `  -d '${chatJson(models)}'`,
    "",
    "  Join another machine, in a clone of this repository there:",
    "",
    `TOKIAME_GATEWAY_URL=${fromElsewhere(url)} TOKIAME_NAMESPACE=its-name \\`,
    `  TOKIAME_TOKEN=${keys.joinKey} npm run -s worker`,
    "",
  ];
  return `${lines.join("\n")}\n`;
}

function chatJson(models: readonly string[]): string {
  const chat = models.find((model) => !/embed|rerank|whisper|tts|clip|bge/i.test(model)) ?? models[0] ?? "tiny";
  const messages = [{ role: "user", content: "Tell me a story about a fox." }];
  // In single quotes for the shell, where a single quote ends the text.
  return JSON.stringify({ model: chat, stream: true, messages }).replaceAll("'", String.raw`'\''`);
}

/** The hub's URL as another machine reaches it, as far as this one knows its own addresses. */
function fromElsewhere(url: string): string {
  return url.replace("//localhost:", `//${lanAddress() ?? "THIS-MACHINE"}:`);
}

function lanAddress(): string | undefined {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return addresses.find(({ family, internal }) => family === "IPv4" && !internal)?.address;
}
