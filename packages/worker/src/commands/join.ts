import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

import * as z from "zod";

import type { CommandLine } from "../command-line.ts";
import { Stop } from "../exit-code.ts";
import { LIMITS } from "../limits.ts";
import type { CommandContext } from "./context.ts";
import { callHub, type HubAnswer } from "./hub-call.ts";
import { atHub, gatewayUrlOf, type JoinLink, parseJoinLink } from "./join-link.ts";
import { configToJoin, writeJoined } from "./joined-config.ts";

const STARTED = z.looseObject({
  secret: z.string().min(1),
  user_code: z.string().regex(/^[\w-]{1,32}$/),
  expires_at_ms: z.number(),
  poll_ms: z.number(),
});

const JOINED = z.looseObject({
  secret: z.string().regex(/^wk-[\x21-\x7e]+$/),
  group: z.looseObject({ slug: z.string().regex(/^[\w-]{1,64}$/) }),
});
type Joined = z.infer<typeof JOINED>;

const POLLED = z.discriminatedUnion("state", [
  z.looseObject({ state: z.literal("waiting"), poll_ms: z.number() }),
  z.looseObject({ state: z.literal("refused") }),
  JOINED.extend({ state: z.literal("joined") }),
]);

/**
 * Turns an invite's link into a worker key, and writes it to the configuration. With an access token the invite is redeemed for
 * its owner at once; without one a person opens a link and says yes, as `gh auth login` does.
 *
 * @throws Stop
 */
export async function join(line: CommandLine, context: CommandContext): Promise<void> {
  const link = parseJoinLink(line.link ?? "");
  // Before anything is asked of the hub: a key that cannot be kept would be of no use.
  const config = configToJoin({ named: line.config, env: context.env, home: context.home });
  const machine = nameOf(line.namespace ?? config.values["namespace"] ?? context.hostName);
  if (link.hub.protocol === "http:" && !isLoopback(link.hub.hostname)) {
    context.print(`Mind that http is not encrypted: whoever is between here and ${link.hub.host} can read the key.\n`);
  }
  const token = accessToken(line, context.env);
  const joined =
    token === undefined ? await joinByPerson(link, machine, context) : await joinByToken(link, machine, token);
  writeJoined(config, { gateway_url: gatewayUrlOf(link), token: joined.secret, namespace: machine });
  context.print(
    `Joined the group ${joined.group.slug} as ${machine}. The key is in ${config.path}.\nStart with: tokiame (in a clone of the repository: npm run -s worker)\n`,
  );
}

async function joinByToken(link: JoinLink, machine: string, token: string): Promise<Joined> {
  const answer = await callHub(atHub(link, "/api/invites/redeem-worker"), { code: link.code, machine }, token);
  if (answer.status === 401) throw new Stop("badToken", `${link.hub.host} does not take the access token`);
  if (answer.status !== 201) throw refused(link, answer);
  return parsed(JOINED, link, answer);
}

async function joinByPerson(link: JoinLink, machine: string, context: CommandContext): Promise<Joined> {
  const answer = await callHub(atHub(link, "/api/invites/join-worker"), { code: link.code, machine });
  if (answer.status !== 201) throw refused(link, answer);
  const started = parsed(STARTED, link, answer);
  // The address that is known to lead to the hub from here, with what a browser does not send to it.
  const page = atHub(link, "/join");
  page.hash = `${link.code}&machine=${started.user_code}`;
  context.print(
    `To let ${machine} serve, open this address, sign in, and say yes to the code ${started.user_code}:\n\n` +
      `  ${page.href}\n\nWaiting for ten minutes; Ctrl-C gives up.\n`,
  );
  return untilAnswered(link, started, context);
}

async function untilAnswered(
  link: JoinLink,
  started: z.infer<typeof STARTED>,
  context: CommandContext,
): Promise<Joined> {
  const stopping = new AbortController();
  void context.stopAsked.then(() => stopping.abort());
  const url = atHub(link, "/api/device-joins/poll");
  const endMs = context.monotonicMs() + LIMITS.joinWaitMs;
  let waitMs = started.poll_ms;
  while (context.monotonicMs() < endMs) {
    await pause(waitMs, stopping.signal);
    const answer = await askAgain(url, started.secret);
    if (answer === undefined || answer.status === 429) {
      waitMs = Math.max(waitMs, answer?.retryAfterMs ?? 0);
      continue;
    }
    if (answer.status !== 200) throw refused(link, answer);
    const polled = parsed(POLLED, link, answer);
    if (polled.state === "joined") return polled;
    if (polled.state === "refused") throw new Stop("refused", "the answer was no; nothing was joined");
    waitMs = polled.poll_ms;
  }
  throw new Stop("refused", "nobody said yes in time; start again");
}

/** undefined: the hub was not there. It may be back before the time is over. */
async function askAgain(url: URL, secret: string): Promise<HubAnswer | undefined> {
  try {
    return await callHub(url, { secret });
  } catch (error) {
    if (error instanceof Stop && error.reason === "hubUnreachable") return undefined;
    throw error;
  }
}

async function pause(ms: number, stopping: AbortSignal): Promise<void> {
  const bounded = Math.min(Math.max(ms, 1), LIMITS.maxJoinPollMs);
  try {
    await sleep(bounded, undefined, { signal: stopping });
  } catch {
    // The only way it fails is the signal.
    throw new Stop("refused", "stopped; nobody had said yes");
  }
}

function parsed<T>(schema: z.ZodType<T>, { hub }: JoinLink, { body, status }: HubAnswer): T {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  throw new Stop("version", `${hub.host} answered ${status} in a way that is not understood; update hub and worker`);
}

function refused({ hub }: JoinLink, { status, message }: HubAnswer): Stop {
  if (message !== "") return new Stop("refused", message.replace(/\.$/, ""));
  return new Stop("refused", `${hub.host} answered ${status}; is this the address of a Tokilake hub?`);
}

/** @throws Stop "config" */
function accessToken(line: CommandLine, env: NodeJS.ProcessEnv): string | undefined {
  if (line.tokenFile === undefined) return env["TOKIAME_ACCESS_TOKEN"]?.trim() || undefined;
  try {
    return readFileSync(line.tokenFile, "utf8").trim() || undefined;
  } catch (error) {
    const reason = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw new Stop("config", `${line.tokenFile} cannot be read (${reason})`);
  }
}

/** @throws Stop "config" */
function nameOf(given: unknown): string {
  const name = typeof given === "string" ? given.trim() : "";
  if (name !== "" && name.length <= 64 && !/\p{Cc}/u.test(name)) return name;
  throw new Stop("config", "this machine needs a name of at most 64 characters; give one with --namespace");
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || host.startsWith("127.");
}
