import { type ClientRequest, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";

import { Stop } from "../exit-code.ts";
import { unnamedVersion } from "../link-message.ts";

const TIMEOUT_MS = 5_000;

/**
 * Asks the hub for a connection with this token and hangs up before registering, so that a worker of the same name that
 * runs is not disturbed. Resolves with the milliseconds it took.
 *
 * @throws Stop "hubUnreachable", "badToken", "version" or "refused"
 */
export async function checkHub(gateway: URL, token: string, options: { assumesV1: boolean }): Promise<number> {
  const startedMs = performance.now();
  const { status, detail, protocol } = await askUpgrade(connectUrl(gateway), token);
  if (status === 101) {
    if (protocol === undefined && !options.assumesV1) throw unnamedVersion(gateway);
    return Math.round(performance.now() - startedMs);
  }
  const what = `${gateway.host} answered ${status}${detail === "" ? "" : ` (${detail})`}`;
  if (status === 401 || status === 403)
    throw new Stop("badToken", `${what}; make a worker key at the hub and set it as token`);
  if (status === 426 || status === 505) throw new Stop("version", `${what}; update the older of hub and worker`);
  if (status === 404) throw new Stop("refused", `${what}; is gateway_url the address of a Tokilake hub?`);
  throw new Stop("refused", `${what}; its operator can tell why`);
}

function connectUrl(gateway: URL): URL {
  const url = new URL(gateway);
  url.protocol = url.protocol === "wss:" || url.protocol === "https:" ? "https:" : "http:";
  if (url.pathname === "/" || url.pathname === "") url.pathname = "/api/tokilake/connect";
  return url;
}

interface Answer {
  readonly status: number;
  readonly detail: string;
  /** Of the tunnel, when the hub named one. */
  readonly protocol: string | undefined;
}

async function askUpgrade(url: URL, token: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const ask: ClientRequest = (url.protocol === "https:" ? httpsRequest : httpRequest)(url, {
      headers: {
        authorization: `Bearer ${token}`,
        connection: "Upgrade",
        upgrade: "websocket",
        "sec-websocket-version": "13",
        // Any 16 bytes do: nothing is sent through this connection.
        "sec-websocket-key": "dG9raWFtZSBkb2N0b3IhIQ==",
        "sec-websocket-protocol": "tokilake.v2, tokilake.v1",
      },
      timeout: TIMEOUT_MS,
    });
    const fail = (reason: string): void => {
      ask.destroy();
      reject(new Stop("hubUnreachable", `${url.host} is not reachable (${reason}); is the hub running?`));
    };
    ask.on("upgrade", ({ headers }, socket) => {
      socket.destroy();
      resolve({ status: 101, detail: "", protocol: headers["sec-websocket-protocol"] });
    });
    ask.on("response", (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part: string) => (text = (text + part).slice(0, 4096)));
      response.on("close", () =>
        resolve({ status: response.statusCode ?? 0, detail: messageOf(text), protocol: undefined }),
      );
    });
    ask.on("timeout", () => fail(`no answer in ${TIMEOUT_MS / 1000} s`));
    ask.on("error", (error) => fail("code" in error ? String(error.code) : error.message));
    ask.end();
  });
}

/** The `error.message` of the hub's JSON, where there is one. Nothing of it may move the cursor. */
function messageOf(text: string): string {
  return /"message"\s*:\s*"([^"\\]{1,200})"/.exec(text)?.[1]?.replaceAll(/\p{Cc}/gu, " ") ?? "";
}
