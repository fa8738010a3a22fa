import { createTransport } from "nodemailer";

import type { Log } from "../observe/log.ts";

export interface Mail {
  /** Normalised, so it can hold no second recipient and no header. */
  readonly to: string;
  readonly subject: string;
  readonly text: string;
}

export const OUTBOX = {
  /** Mails not sent yet. More are dropped and counted in the log: whoever waits for one asks again. */
  maxWaiting: 200,
  /** How long a mail server may take for each step, in milliseconds. */
  serverTimeoutMs: 20_000,
} as const;

export interface Postman {
  send(mail: Mail): Promise<void>;
  close(): void;
}

/** Sends mails after the request that asked for them was answered: how long that took says nothing of whether there was one. */
export class Outbox implements AsyncDisposable {
  readonly #postman: Postman;
  readonly #log: Log;
  readonly #waiting: (() => Promise<Mail | undefined>)[] = [];
  #sending: Promise<void> | undefined;

  constructor(postman: Postman, log: Log) {
    this.#postman = postman;
    this.#log = log;
  }

  /** @param write Makes the mail when its turn comes; undefined: there is none to send after all. */
  post(write: () => Promise<Mail | undefined>): void {
    if (this.#waiting.length >= OUTBOX.maxWaiting) {
      this.#log.warn({ waiting: this.#waiting.length }, "a mail was dropped: too many wait for the mail server");
      return;
    }
    this.#waiting.push(write);
    this.#sending ??= this.#sendAll();
  }

  /** Resolves when nothing waits any more. */
  async idle(): Promise<void> {
    while (this.#sending !== undefined) await this.#sending;
  }

  /** What waits is not sent any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#waiting.length = 0;
    this.#postman.close();
    await this.idle();
  }

  async #sendAll(): Promise<void> {
    // Not in the turn of whoever posted.
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    for (let write = this.#waiting.shift(); write !== undefined; write = this.#waiting.shift()) await this.#send(write);
    this.#sending = undefined;
  }

  async #send(write: () => Promise<Mail | undefined>): Promise<void> {
    try {
      const mail = await write();
      if (mail !== undefined) await this.#postman.send(mail);
    } catch (error) {
      this.#log.error({ error }, "a mail could not be sent");
    }
  }
}

/** Without a mail server: the operator finds the mail in the log and passes it on. */
export function logPostman(log: Log): Postman {
  return {
    send: ({ to, subject, text }) => {
      // By itself, too: in the text of a line the link stands between escaped line breaks, where it is hard to copy.
      const [link] = /^https?:\/\/\S+$/m.exec(text) ?? [];
      log.warn({ to, subject, link, text }, "a mail, here because no mail server is set (TOKILAKE_SMTP_URL)");
      return Promise.resolve();
    },
    close: () => {},
  };
}

/** @param options.url `smtp://` or `smtps://`, with user and password. */
export function smtpPostman(options: { readonly url: string; readonly from: string }): Postman {
  const timeoutMs = OUTBOX.serverTimeoutMs;
  const transport = createTransport(
    {
      url: options.url,
      pool: true,
      maxConnections: 1,
      connectionTimeout: timeoutMs,
      greetingTimeout: timeoutMs,
      socketTimeout: timeoutMs,
      // A mail is made of our own words only; nothing in it may name a file or an address to read.
      disableFileAccess: true,
      disableUrlAccess: true,
    },
    { from: options.from },
  );
  return {
    send: async ({ to, subject, text }) => {
      await transport.sendMail({ to: { address: to, name: "" }, subject, text });
    },
    close: () => transport.close(),
  };
}
