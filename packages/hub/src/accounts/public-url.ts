/**
 * Where people reach the hub. Links in mails, the addresses that providers send people back to, and passkeys are made of this
 * alone; what a request says in `Host` is whatever its sender likes.
 */
export class PublicUrl {
  readonly #base: URL;

  /** @param base `http:` or `https:`, with a path when the hub stands below one. */
  constructor(base: string) {
    this.#base = new URL(base);
  }

  /** For an address that nobody configured: "any free port" has a number only when the hub listens. */
  usePort(port: number): void {
    this.#base.port = String(port);
  }

  /** Scheme, host and port. */
  get origin(): string {
    return this.#base.origin;
  }

  get hostname(): string {
    return this.#base.hostname;
  }

  get isHttps(): boolean {
    return this.#base.protocol === "https:";
  }

  /**
   * A page of the hub.
   *
   * @param path Begins with a slash.
   * @param secret Goes behind the #: browsers send that nowhere, so it gets into no log and no `Referer`.
   */
  of(path: string, secret?: string): string {
    const base = this.#base.href.replace(/\/$/, "");
    return `${base}${path}${secret === undefined ? "" : `#${secret}`}`;
  }
}

/** A path of this hub to go on to, made harmless: anything that could lead elsewhere becomes `/`. */
export function localPath(given: string | undefined): string {
  // Browsers take "\" for "/" and leave out tabs and line breaks, so that "/\t/evil.example" is another host.
  if (given === undefined || !given.startsWith("/") || given.length > 1000 || /[\\\p{Cc}]/u.test(given)) return "/";
  const base = "https://hub.invalid";
  if (!URL.canParse(given, base)) return "/";
  const url = new URL(given, base);
  const path = `${url.pathname}${url.search}${url.hash}`;
  // "/.//evil.example" has its dots resolved, and is then another host to whoever reads it next.
  return url.origin === base && !path.startsWith("//") ? path : "/";
}
