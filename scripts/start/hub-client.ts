import { request } from "node:http";

/** Time for one question to the hub on this machine. */
const TIMEOUT_MS = 5000;

/** Questions to the hub, as a client and a worker would ask them. */
export class HubClient {
  readonly url: string;

  /** @param url Without a path. */
  constructor(url: string) {
    this.url = url;
  }

  async isReady(): Promise<boolean> {
    return (await this.#get("/readyz"))?.status === 200;
  }

  /** Ids of the models that a key may use; undefined when the key is refused. @throws Error for any other answer. */
  async models(apiKey: string): Promise<string[] | undefined> {
    const answer = await this.#get("/v1/models", apiKey);
    if (answer?.status === 401) return undefined;
    if (answer?.status !== 200) throw new Error(`GET /v1/models gives ${answer?.status ?? "no answer"}.`);
    const { data } = (await answer.json()) as { data: { id: string }[] };
    return data.map((model) => model.id);
  }

  /** Whether the hub lets a worker with this key in: dials as one does, and leaves before it registers. */
  acceptsWorker(workerKey: string): Promise<boolean> {
    return new Promise((resolve) => {
      const dialed = request(`${this.url}/api/tokilake/connect`, {
        timeout: TIMEOUT_MS,
        headers: {
          authorization: `Bearer ${workerKey}`,
          connection: "Upgrade",
          upgrade: "websocket",
          "sec-websocket-version": "13",
          "sec-websocket-key": Buffer.alloc(16).toString("base64"),
          "sec-websocket-protocol": "tokilake.v2",
        },
      });
      dialed.on("upgrade", (_response, socket) => {
        socket.destroy();
        resolve(true);
      });
      dialed.on("response", (response) => {
        response.destroy();
        resolve(response.statusCode !== 401 && response.statusCode !== 403);
      });
      dialed.on("timeout", () => dialed.destroy(new Error("The hub does not answer.")));
      // Not a refusal of the key; whatever is wrong shows when the worker itself dials.
      dialed.on("error", () => resolve(true));
      dialed.end();
    });
  }

  async #get(path: string, key?: string): Promise<Response | undefined> {
    const headers = key === undefined ? {} : { authorization: `Bearer ${key}` };
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    // Refused connections are usual while the hub starts.
    return fetch(this.url + path, { headers, signal }).catch(() => undefined);
  }
}
