import type { IncomingHttpHeaders } from "node:http";

/** Who is at the door, before it is known who that is. */
export interface Visitor {
  /** IP address; "" when it is not known. */
  readonly address: string;
  readonly userAgent: string;
  readonly requestId?: string;
  /** Secrets that the browser keeps for us, as it sent them. */
  readonly cookies: Readonly<Record<CookieKind, string | undefined>>;
}

export type CookieKind = "sign-in" | "attempt" | "device";

/** What lists show of a browser. */
const MAX_USER_AGENT_LENGTH = 200;

const NAMES: Readonly<Record<CookieKind, string>> = {
  "sign-in": "tokilake",
  attempt: "tokilake-attempt",
  device: "tokilake-device",
};

/** How our cookies are called and written: unreadable for scripts, for this host only, not sent along by other sites' forms. */
export class Cookies {
  readonly #prefix: "__Host-" | "";
  readonly #attributes: string;

  /**
   * @param isHttps Whether people reach the hub over https. Then the browser itself sees to it (`__Host-`, RFC 6265bis §4.1.3.2)
   *   that no neighbour of the same domain and nobody on plain http can set our cookies.
   */
  constructor(isHttps: boolean) {
    this.#prefix = isHttps ? "__Host-" : "";
    this.#attributes = `Path=/; HttpOnly; SameSite=Lax${isHttps ? "; Secure" : ""}`;
  }

  /** A `set-cookie` header. */
  set(kind: CookieKind, value: string, maxAgeMs: number): string {
    return `${this.#nameOf(kind)}=${value}; Max-Age=${Math.floor(maxAgeMs / 1000)}; ${this.#attributes}`;
  }

  /** A `set-cookie` header that removes it. */
  clear(kind: CookieKind): string {
    return `${this.#nameOf(kind)}=; Max-Age=0; ${this.#attributes}`;
  }

  /** What a request says of who sends it. */
  visitorOf(request: {
    readonly headers: IncomingHttpHeaders;
    readonly address: string;
    readonly requestId?: string;
  }): Visitor {
    const { headers, address, requestId } = request;
    return {
      address,
      userAgent: (headers["user-agent"] ?? "").slice(0, MAX_USER_AGENT_LENGTH),
      ...(requestId !== undefined && { requestId }),
      cookies: {
        "sign-in": this.read(headers, "sign-in"),
        attempt: this.read(headers, "attempt"),
        device: this.read(headers, "device"),
      },
    };
  }

  /** The cookie's value. One that comes twice was set by somebody else as well, so it is none. */
  read(headers: IncomingHttpHeaders, kind: CookieKind): string | undefined {
    const name = this.#nameOf(kind);
    const values = (headers.cookie ?? "").split(";").flatMap((pair) => {
      const at = pair.indexOf("=");
      return at > 0 && pair.slice(0, at).trim() === name ? [pair.slice(at + 1).trim()] : [];
    });
    const [value] = values;
    return values.length === 1 && value !== "" ? value : undefined;
  }

  #nameOf(kind: CookieKind): string {
    return this.#prefix + NAMES[kind];
  }
}
