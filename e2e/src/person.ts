/** Somebody with an account who uses the hub's pages: what a browser would send, without the browser. */
export class Person {
  readonly email: string;
  readonly #hubUrl: string;
  #cookie = "";

  private constructor(hubUrl: string, email: string) {
    this.#hubUrl = hubUrl;
    this.email = email;
  }

  /** Makes an account with an invite's code, and signs in. */
  static async register(hubUrl: string, name: string, inviteCode: string): Promise<Person> {
    const person = new Person(hubUrl, `${name}@example.com`);
    const password = `the password of ${name}, long enough`;
    const { email } = person;
    await person.ask("POST /api/register", { email, password, name, invite_code: inviteCode });
    await person.ask("POST /api/sign-in", { email, password });
    return person;
  }

  /** Opens the link of a hub that has no root yet, and becomes it. */
  static async setUp(hubUrl: string, token: string): Promise<Person> {
    const person = new Person(hubUrl, "root@example.com");
    const { email } = person;
    await person.ask("POST /api/set-up", { token, email, password: "the password of root, long enough" });
    return person;
  }

  /**
   * The answer's JSON.
   *
   * @param request Such as `GET /api/groups`.
   * @throws Error with the hub's refusal.
   */
  async ask<T = unknown>(request: string, body?: object, headers: Readonly<Record<string, string>> = {}): Promise<T> {
    const { status, json } = await this.try(request, body, headers);
    if (status >= 300) throw new Error(`${request} gives ${status}: ${JSON.stringify(json)}`);
    // What the hub's own tests say it is.
    return json as T;
  }

  /** Status and JSON, whatever they are. */
  async try(
    request: string,
    body?: object,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<{ readonly status: number; readonly json: unknown }> {
    const [method = "", path = ""] = request.split(" ");
    const response = await fetch(this.#hubUrl + path, {
      method,
      headers: {
        "sec-fetch-site": "same-origin",
        cookie: this.#cookie,
        ...(body !== undefined && { "content-type": "application/json" }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    for (const cookie of response.headers.getSetCookie()) this.#keep(cookie);
    const text = await response.text();
    return { status: response.status, json: text === "" ? undefined : (JSON.parse(text) as unknown) };
  }

  #keep(cookie: string): void {
    const [pair = ""] = cookie.split(";");
    this.#cookie = this.#cookie === "" ? pair : `${this.#cookie}; ${pair}`;
  }
}
