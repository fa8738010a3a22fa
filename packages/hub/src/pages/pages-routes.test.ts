import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { startTestAdmin } from "../test-admin.ts";
import { startTestHub } from "../test-hub.ts";

const PAGES = ["/set-up", "/sign-in", "/register", "/join", "/verify-email", "/reset-password", "/account"];

test("each page that links lead to is there, for anybody, and runs nothing but the hub's own files", async () => {
  await using admin = await startTestAdmin();

  for (const path of PAGES) {
    const { status, headers } = await admin.call(undefined, "GET", path);

    assert.deepEqual([status, headers.get("content-type")], [200, "text/html; charset=utf-8"], path);
    assert.equal(
      headers.get("content-security-policy"),
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    );
    assert.equal(headers.get("x-content-type-options"), "nosniff");
    assert.equal(headers.get("referrer-policy"), "no-referrer");
    assert.equal(headers.get("cache-control"), "no-cache");
    assert.equal(headers.get("set-cookie"), null);
  }
});

test("what a page names is there, with its own type, and nothing stands within the page", async () => {
  await using admin = await startTestAdmin();

  for (const path of PAGES) {
    const html = await (await admin.call(undefined, "GET", path)).text();
    const named = [...html.matchAll(/(?:src|href)="(pages\/[^"]+)"/g)].map((match) => match[1] ?? "");
    const types = await Promise.all(
      named.map(async (name) => (await admin.call(undefined, "GET", `/${name}`)).headers.get("content-type")),
    );

    assert.deepEqual(
      types,
      ["image/svg+xml", "text/css; charset=utf-8", "text/javascript; charset=utf-8", "image/svg+xml"],
      path,
    );
    assert.equal(named[2], `pages${path}.js`);
    assert.match(html, /<title>[^{]+ · Tokilake<\/title>[^]*<section[^]*<\/section>[^{]*<\/html>\n$/);
    assert.doesNotMatch(html, /<script(?![^>]*src=)|<style|\sstyle=|\son\w+=/);
    // Below a path of another server an address that begins with a slash leads past the hub.
    assert.doesNotMatch(html, /(?:src|href|action)="(?:\/|https?:)/);
  }
});

test("scripts write no markup and name no other server", () => {
  const scripts = readdirSync(import.meta.dirname).filter((name) => name.endsWith(".js"));
  for (const name of scripts) {
    const text = readFileSync(join(import.meta.dirname, name), "utf8");
    assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|https?:\/\//, name);
    assert.doesNotMatch(text, /(?:fetch|ask)\(["'`](?:\w+ )?\//, name);
  }
  assert.equal(scripts.length, PAGES.length + 1);
});

test("a page is read once by a browser, and asked for again only whether it changed", async () => {
  await using admin = await startTestAdmin();
  const first = await admin.call(undefined, "GET", "/pages/hub.js");
  const etag = first.headers.get("etag") ?? "";

  const again = await admin.call(undefined, "GET", "/pages/hub.js", { headers: { "if-none-match": etag } });
  const head = await admin.call(undefined, "HEAD", "/pages/hub.js");

  assert.deepEqual([again.status, await again.text(), again.headers.get("etag")], [304, "", etag]);
  assert.deepEqual([head.status, await head.text()], [200, ""]);
  assert.equal(head.headers.get("content-length"), String((await first.arrayBuffer()).byteLength));
});

test("the hub's own sources, and what is not there, are 404; a page takes no form", async () => {
  await using admin = await startTestAdmin();

  for (const path of [
    "/pages",
    "/pages/",
    "/pages/pages-routes.ts",
    "/pages/../hub.ts",
    "/join.html",
    "/join/a/b",
    "/frame",
    "/frame.html",
  ]) {
    assert.equal((await admin.call(undefined, "GET", path)).status, 404, path);
  }
  const posted = await admin.call(undefined, "POST", "/sign-in", { body: {} });
  assert.deepEqual([posted.status, posted.headers.get("allow")], [405, "GET, HEAD, OPTIONS"]);
});

test("a browser at the hub's address is sent to a page, a program gets an error that it can read", async () => {
  await using admin = await startTestAdmin();

  const browser = await admin.call(undefined, "GET", "/", { headers: { accept: "text/html,*/*;q=0.8" } });
  const curl = await admin.call(undefined, "GET", "/", { headers: { accept: "*/*" } });

  assert.deepEqual([browser.status, browser.headers.get("location")], [303, "account"]);
  assert.equal(curl.status, 404);
  assert.match(await curl.text(), /"code":"unknown_url"/);
});

test("an invite's code behind a slash moves to where it is not sent", async () => {
  await using admin = await startTestAdmin();

  const { status, headers } = await admin.call(undefined, "GET", "/join/7H2K-9QXM-0B3C-V8TZ");

  assert.deepEqual([status, headers.get("location")], [303, "../join#7H2K-9QXM-0B3C-V8TZ"]);
});

test("a hub without accounts has no pages", async () => {
  await using hub = await startTestHub();

  assert.equal((await fetch(`${hub.url}/sign-in`)).status, 404);
});

test("the sign-in page is told who is signed in, and nobody by a token", async () => {
  await using admin = await startTestAdmin();
  const ada = await admin.user("ada");
  const userOf = async (response: Response): Promise<unknown> => ((await response.json()) as { user: unknown }).user;

  assert.deepEqual(await userOf(await admin.browse(ada, "GET", "/api/sign-in")), {
    id: "user_ada",
    email: "ada@example.com",
    name: "ada",
    role: "user",
  });
  assert.equal(await userOf(await admin.call(ada, "GET", "/api/sign-in")), null);
  assert.equal(await userOf(await admin.call(undefined, "GET", "/api/sign-in")), null);
});
