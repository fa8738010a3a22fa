/** Ports on which inference servers listen by default (sharing study, 5.1), commonest first. */
const WELL_KNOWN_PORTS: readonly number[] = [
  11434, 8000, 30000, 8080, 1234, 5001, 5000, 23333, 9997, 8188, 7860, 8880, 7997, 3000, 8081, 1337, 6767, 12434, 10240,
  52415, 8091, 8001, 9000, 13305,
];

/** The hub's own port: a worker must not share the hub through itself. */
const HUB_PORT = 19981;

export interface PortChoice {
  /** `TOKIAME_DISCOVERY_PORTS`: exactly these. */
  readonly only: readonly number[] | undefined;
  /** `OLLAMA_HOST`. */
  readonly ollamaHost: string | undefined;
  /** This user's sockets that listen on loopback. */
  readonly listening: readonly number[];
  /** Where the hub is dialed. */
  readonly gatewayUrl: URL | undefined;
}

/** The ports of this machine to look at, each once. */
export function candidatePorts(choice: PortChoice): number[] {
  const own = ollamaPort(choice.ollamaHost);
  const all = choice.only ?? [...(own === undefined ? [] : [own]), ...WELL_KNOWN_PORTS, ...choice.listening];
  const hubPort = gatewayPort(choice.gatewayUrl);
  return [...new Set(all)].filter((port) => port !== HUB_PORT && port !== hubPort);
}

/**
 * The port in `OLLAMA_HOST` (`host`, `host:port`, `:port` or a URL), when it is on this machine. What listens elsewhere
 * is not looked for.
 */
export function ollamaPort(value: string | undefined): number | undefined {
  if (value === undefined || value.trim() === "") return undefined;
  const text = value.trim();
  const match = /^(?:https?:\/\/)?(\[[^\]]*\]|[^:/]*)(?::(\d{1,5}))?\/?$/.exec(text);
  if (match === null || !["", "0.0.0.0", "[::]", "[::1]", "localhost", "127.0.0.1"].includes(match[1] ?? ""))
    return undefined;
  const port = match[2] === undefined ? 11434 : Number(match[2]);
  return port > 0 && port < 65536 ? port : undefined;
}

function gatewayPort(url: URL | undefined): number | undefined {
  if (url === undefined || !["localhost", "127.0.0.1", "[::1]"].includes(url.hostname)) return undefined;
  return url.port === "" ? undefined : Number(url.port);
}
