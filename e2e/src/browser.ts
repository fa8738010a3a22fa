import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome"];

const FOUND = chromiumInPath();

/** Why tests that need a browser are skipped; false: they are not. */
export const NO_BROWSER = FOUND === undefined && `none of ${NAMES.join(", ")} is in the PATH (Debian: chromium)`;

/** A new browser, which its user closes. */
export function startBrowser(): Promise<Browser> {
  // In containers the kernel lets no process make a sandbox.
  return chromium.launch({ executablePath: FOUND ?? "", args: ["--no-sandbox"] });
}

/** One person's browser: cookies and tabs of its own. */
export class PersonsBrowser implements AsyncDisposable {
  readonly page: Page;
  readonly #context: BrowserContext;
  readonly #complaints: string[] = [];

  private constructor(context: BrowserContext, page: Page) {
    this.#context = context;
    this.page = page;
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) this.#complaints.push(message.text());
    });
    page.on("pageerror", (error) => this.#complaints.push(String(error)));
  }

  static async open(browser: Browser): Promise<PersonsBrowser> {
    const context = await browser.newContext();
    return new PersonsBrowser(context, await context.newPage());
  }

  /**
   * What the browser's console has said since this was asked last: errors of scripts, and what the pages' policy refused. Answers of
   * the hub that refuse something come as their status alone: "401".
   */
  takeComplaints(): string[] {
    return this.#complaints
      .splice(0)
      .map((text) => /^Failed to load resource: .* status of (\d+)/.exec(text)?.[1] ?? text);
  }

  /** The answer of the admin API to this person, by the cookie of this browser. @throws Error with a refusal. */
  async ask<T = unknown>(request: string, data?: object): Promise<T> {
    const [method = "", path = ""] = request.split(" ");
    const url = new URL(path, this.page.url()).href;
    const headers = { "sec-fetch-site": "same-origin" };
    const response = await this.#context.request.fetch(url, { method, headers, ...(data && { data }) });
    if (!response.ok()) throw new Error(`${request} gives ${response.status()}: ${await response.text()}`);
    const text = await response.text();
    // What the hub's own tests say it is.
    return (text === "" ? undefined : JSON.parse(text)) as T;
  }

  async fill(fields: Readonly<Record<string, string>>): Promise<void> {
    for (const [label, value] of Object.entries(fields)) await this.page.getByLabel(label).fill(value);
  }

  async press(name: string): Promise<void> {
    await this.page.getByRole("button", { name, exact: true }).click();
  }

  async follow(name: string): Promise<void> {
    await this.page.getByRole("link", { name, exact: true }).click();
  }

  /** Resolves when the page shows this heading. @throws After 15 s, with what the page shows. */
  async sees(heading: string): Promise<void> {
    const found = this.page.getByRole("heading", { name: heading, exact: true });
    await found.waitFor({ timeout: 15_000 }).catch(async () => {
      const shown = await this.page.locator("main").innerText();
      throw new Error(`The page ${this.page.url()} does not show “${heading}”, but:\n${shown}`);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#context.close();
  }
}

function chromiumInPath(): string | undefined {
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  const candidates = NAMES.flatMap((name) => folders.map((folder) => join(folder, name)));
  return candidates.find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      // Not there, or not for this user: the next one may be.
      return false;
    }
  });
}
