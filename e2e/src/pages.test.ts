import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHmac } from "node:crypto";
import { join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";

import { startSimulatedEngine } from "@tokilake/tiny-engine";
import type { Browser } from "playwright-core";

import { NO_BROWSER, PersonsBrowser, startBrowser } from "./browser.ts";
import { chatBody, chatText, HttpExchange, simulatedText } from "./http-exchange.ts";
import { Hub } from "./hub.ts";
import { RunningProcess } from "./running-process.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const NEEDS_BROWSER = { skip: NO_BROWSER, timeout: 120_000 };

const run = promisify(execFile);

let browser: Browser | undefined;
after(() => browser?.close());

test(
  "a link makes Ada root, one brings Bob into her group, one her machine, and Bob's key works",
  NEEDS_BROWSER,
  async () => {
    await using house = await openHouse();
    const { hub, folder, closing } = house;
    const engine = closing.use(await startSimulatedEngine({ models: ["simulated"] }));

    const ada = await house.person();
    await ada.page.goto(`${house.address}/`);
    await ada.sees("This hub is not set up yet");
    await ada.page.goto(house.setUpLink);
    await ada.sees("Set up this hub");
    assert.equal(ada.page.url(), `${house.address}/set-up`);
    await ada.fill({ Name: "Ada", "E-mail": "ada@example.com", Password: "the password of Ada" });
    await ada.press("Become root");
    await ada.sees("You are in");
    const group = await ada.ask<{ readonly id: string }>("POST /api/groups", { slug: "friends", name: "Friends" });
    const invite = (more: object) => ada.ask<Invite>("POST /api/invites", { group_id: group.id, ...more });

    // The machine: its terminal shows a link, and she says yes.
    const forMachine = await invite({ role: "provider" });
    const joining = closing.use(tokiame(folder, ["join", forMachine.link, "--namespace", "gaming-pc"]));
    const asking = await joining.findLine((line) => /(http:\S+#\S+&machine=(\S+))$/.exec(line.trim()) ?? undefined);
    await ada.page.goto(asking[1] ?? "");
    await ada.sees("Let this machine serve?");
    assert.equal(ada.page.url(), `${house.address}/join`);
    const facts = await ada.page.locator("dl").innerText();
    for (const shown of ["gaming-pc", asking[2] ?? "", "Friends", "127.0.0.1"]) assert.ok(facts.includes(shown), facts);
    await ada.press("Yes");
    await ada.sees("gaming-pc joins Friends");
    assert.equal((await joining.exited).code, 0, joining.log);
    closing.use(
      tokiame(folder, ["run"], { TOKIAME_MODEL_TARGETS: JSON.stringify({ simulated: { url: engine.url } }) }),
    );

    // The friend: opens the link, makes an account, is in.
    const bob = await house.person();
    await bob.page.goto((await invite({})).link);
    await bob.sees("Ada invites you to Friends");
    assert.equal(bob.page.url(), `${house.address}/join`);
    await bob.follow("Make an account");
    await bob.sees("Make an account");
    await bob.fill({ Name: "Bob", "E-mail": "bob@example.com", Password: "the password of Bob" });
    await bob.press("Make an account and join");
    await bob.sees("You are in Friends");
    const listing = await ada.ask<Invite>("POST /api/keys", { kind: "api", name: "x", group_id: group.id });
    await hub.listing(listing.secret, ["simulated"]);
    await bob.fill({ "Name of the key": "laptop" });
    await bob.press("Make an API key");
    await bob.sees("Your key “laptop”");
    const shown = async (id: string): Promise<string> => (await bob.page.locator(`#${id}`).textContent()) ?? "";
    const access = { baseURL: await shown("base-url"), apiKey: await shown("secret") };
    assert.equal(access.baseURL, `${house.address}/v1`);
    const answer = await HttpExchange.whole(access, { body: chatBody({ tokens: 5 }, { stream: true }) });
    assert.equal(chatText(answer.text), simulatedText(5));
    const { stdout } = await run("sh", ["-c", await shown("curl")]);
    assert.match(stdout, /"object":"chat.completion"/);

    assert.deepEqual([ada.takeComplaints(), bob.takeComplaints()], [[], []]);
    await bob.press("Sign out");
    await bob.sees("Sign in");
  },
);

interface Invite {
  readonly link: string;
  readonly secret: string;
}

test("somebody with an account signs in at an invite's link, and is in", NEEDS_BROWSER, async () => {
  await using house = await openHouse();
  const root = await house.root();
  const group = await root.ask<{ readonly id: string }>("POST /api/groups", { slug: "friends", name: "Friends" });
  const { link: toHub } = await root.ask<Invite>("POST /api/invites", {});
  const { link } = await root.ask<Invite>("POST /api/invites", { group_id: group.id });

  const bob = await house.person();
  await bob.page.goto(toHub);
  await bob.sees("root invites you to this hub");
  await bob.follow("Make an account");
  await bob.fill({ Name: "Bob", "E-mail": "bob@example.com", Password: "the password of Bob" });
  await bob.press("Make an account and join");
  await bob.sees("You are in no group yet");
  await bob.press("Sign out");
  await bob.sees("Sign in");

  await bob.page.goto(link);
  await bob.follow("I have an account");
  await bob.sees("Sign in");
  await bob.fill({ "E-mail": "bob@example.com", Password: "the password of Bob" });
  await bob.page.keyboard.press("Enter");
  await bob.sees("You are in Friends");
  assert.deepEqual(bob.takeComplaints(), []);

  await bob.page.goto(link);
  await bob.sees("This invite does not work");
  await bob.page.getByText("This invite was used as often as it may be.").waitFor();
  await bob.page.goto(toHub);
  await bob.sees("This invite does not work");
  await bob.press("Type another code");
  await bob.fill({ Code: "0000-0000-0000-0000" });
  await bob.press("Go on");
  await bob.page.getByText("There is no invite with this code.").waitFor();
  assert.deepEqual(bob.takeComplaints(), ["410", "410", "404"]);
});

test("signed in, one button joins; a machine that nobody started is told no", NEEDS_BROWSER, async () => {
  await using house = await openHouse();
  const root = await house.root();
  const group = await root.ask<{ readonly id: string }>("POST /api/groups", { slug: "friends", name: "Friends" });
  const { link, secret } = await root.ask<Invite>("POST /api/invites", {
    group_id: group.id,
    role: "provider",
    max_uses: 9,
  });
  const bob = await house.registered(root, "bob");

  await bob.page.goto(link);
  await bob.sees("root invites you to Friends");
  assert.equal(await bob.page.locator("#command").textContent(), `tokiame join "${link}"`);
  await bob.press("Join Friends");
  await bob.sees("You are in Friends");
  await bob.page.getByText("You may share models here, too.").waitFor();

  const joining = house.closing.use(tokiame(house.folder, ["join", link, "--namespace", "strange-pc"]));
  const userCode = await joining.findLine((line) => /&machine=(\S+)$/.exec(line.trim())?.[1]);
  await bob.page.goto(`${house.address}/join#${secret}&machine=${userCode}`);
  await bob.sees("Let this machine serve?");
  await bob.press("No");
  await bob.sees("You said no");
  assert.notEqual((await joining.exited).code, 0);
  assert.match(joining.log, /the answer was no/);
  assert.deepEqual(bob.takeComplaints(), []);
});

test("what the hub refuses stands beside its field, in words, and the field has the focus", NEEDS_BROWSER, async () => {
  await using house = await openHouse();
  const root = await house.root();
  const { link } = await root.ask<Invite>("POST /api/invites", {});
  const bob = await house.person();
  const focused = async (): Promise<unknown> => bob.page.evaluate("document.activeElement.id");
  const told = (): Promise<string[]> => bob.page.getByRole("alert").allInnerTexts();

  await bob.page.goto(link);
  await bob.follow("Make an account");
  await bob.press("Make an account and join");
  assert.deepEqual([await told(), await focused()], [["Please fill this in."], "email"]);
  await bob.fill({ "E-mail": "bob@example.com", Password: "short" });
  await bob.press("Make an account and join");
  await bob.page.getByText("Password must have 8 to 256 characters.").waitFor();
  assert.deepEqual([(await told()).length, await focused()], [1, "password"]);
  assert.equal(await bob.page.getByLabel("Password").getAttribute("aria-invalid"), "true");
  const described = (await bob.page.getByLabel("Password").getAttribute("aria-describedby")) ?? "";
  assert.equal(described, "password-help password-error");

  await bob.page.goto(`${house.address}/sign-in`);
  await bob.fill({ "E-mail": "root@example.com", Password: "a wrong password" });
  await bob.press("Sign in");
  await bob.page.getByText("The e-mail address or the password is wrong").waitFor();
  assert.ok(await bob.page.getByRole("button", { name: "Sign in", exact: true }).isEnabled());
  await bob.page.goto(`${house.address}/sign-in?error=conflict`);
  await bob.page.getByText("There is an account with your e-mail address.").waitFor();
  assert.equal(bob.page.url(), `${house.address}/sign-in`);
  assert.deepEqual(bob.takeComplaints(), ["400", "401"]);
});

test("an address is verified, and a password chosen anew, by the links of mails", NEEDS_BROWSER, async () => {
  await using house = await openHouse({ TOKILAKE_EMAIL_VERIFICATION: "required" });
  const root = await house.root();
  const { link } = await root.ask<Invite>("POST /api/invites", {});
  const bob = await house.person();

  const verification = house.nextMail("verify-email");
  await bob.page.goto(link);
  await bob.follow("Make an account");
  await bob.fill({ Name: "Bob", "E-mail": "bob@example.com", Password: "the password of Bob" });
  await bob.press("Make an account and join");
  await bob.sees("Look into your mail");
  await bob.page.goto(await verification);
  await bob.sees("Verify your address");
  assert.equal(bob.page.url(), `${house.address}/verify-email`);
  await bob.fill({ Password: "the password of Bob" });
  await bob.press("Verify");
  await bob.sees("Your address is verified");

  const reset = house.nextMail("reset-password");
  await bob.follow("Go on");
  await bob.follow("Choose a new password");
  await bob.fill({ "E-mail": "bob@example.com" });
  await bob.press("Send a link");
  await bob.sees("Look into your mail");
  await bob.page.goto(await reset);
  await bob.fill({ Password: "another password of Bob" });
  await bob.press("Set the password");
  await bob.sees("The password is set");
  await bob.follow("Sign in");
  await bob.fill({ "E-mail": "bob@example.com", Password: "another password of Bob" });
  await bob.press("Sign in");
  await bob.sees("You are in");
  assert.deepEqual(bob.takeComplaints(), []);

  await bob.page.goto(await reset);
  await bob.fill({ Password: "another password of Bob" });
  await bob.press("Set the password");
  await bob.page.getByText("This link was used already").waitFor();
});

test("with a second factor the code is asked for; a passkey stands for both", NEEDS_BROWSER, async () => {
  await using house = await openHouse();
  const root = await house.root();
  const { secret } = await root.ask<{ readonly secret: string }>("POST /api/account/second-factor");
  await root.ask("POST /api/account/second-factor/confirm", { code: codeOf(secret, 0) });
  // A device that makes passkeys and says that its owner showed a finger.
  const device = await root.page.context().newCDPSession(root.page);
  await device.send("WebAuthn.enable");
  await device.send("WebAuthn.addVirtualAuthenticator", {
    options: {
      protocol: "ctap2",
      transport: "internal",
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
    },
  });
  await root.press("Add a passkey");
  await root.page.getByText("The passkey is kept").waitFor();
  await root.press("Sign out");

  await root.sees("Sign in");
  await root.fill({ "E-mail": "root@example.com", Password: "the password of root" });
  await root.press("Sign in");
  await root.sees("One more step");
  await root.fill({ Code: "000000" });
  await root.press("Sign in");
  await root.page.getByText("The code is wrong").waitFor();
  // Each works once, so the next one.
  await root.fill({ Code: codeOf(secret, 1) });
  await root.press("Sign in");
  await root.sees("You are in");
  await root.press("Sign out");

  await root.sees("Sign in");
  await root.press("Sign in with a passkey");
  await root.sees("You are in");
  assert.deepEqual(root.takeComplaints(), ["400"]);
});

test("a page that gets no answer says so, and is there when it is asked again", NEEDS_BROWSER, async () => {
  await using house = await openHouse();
  const bob = await house.person();
  await bob.page.route("**/api/sign-in", (route) => route.abort(), { times: 1 });

  await bob.page.goto(house.setUpLink);
  await bob.sees("This page cannot be shown");
  assert.deepEqual(await bob.page.getByRole("alert").allInnerTexts(), ["The hub does not answer. Try again."]);
  await bob.press("Try again");
  // What stood behind the # of the link was not lost.
  await bob.sees("Set up this hub");
});

/** A hub that nobody set up, and people with browsers of their own. */
async function openHouse(env: Readonly<Record<string, string>> = {}) {
  browser ??= await startBrowser();
  const launched = browser;
  await using opening = new AsyncDisposableStack();
  const folder = opening.use(await temporaryFolder()).path;
  const hub = opening.use(await Hub.start({ dataDir: join(folder, "hub"), env }));
  const linkIn = (line: string): string | undefined => /"link":"([^"]+)"/.exec(line)?.[1];
  const setUpLink = hub.process.log.split("\n").map(linkIn).find(Boolean) ?? (await hub.process.findLine(linkIn));
  const closing = opening.move();
  const person = async (): Promise<PersonsBrowser> => closing.use(await PersonsBrowser.open(launched));
  return {
    hub,
    folder,
    closing,
    setUpLink,
    /** As links have it. */
    address: new URL(setUpLink).origin,
    person,
    /** Signed in as root, made by the link. */
    root: async (): Promise<PersonsBrowser> => {
      const root = await person();
      await root.page.goto(setUpLink);
      await root.fill({ Name: "root", "E-mail": "root@example.com", Password: "the password of root" });
      await root.press("Become root");
      await root.sees("You are in");
      return root;
    },
    /** Signed in, with an account that an invite to the hub made. */
    registered: async (root: PersonsBrowser, name: string): Promise<PersonsBrowser> => {
      const { secret } = await root.ask<Invite>("POST /api/invites", {});
      const registered = await person();
      await registered.page.goto(`${new URL(setUpLink).origin}/sign-in`);
      const account = { email: `${name}@example.com`, password: `the password of ${name}` };
      await registered.ask("POST /api/register", { ...account, name, invite_code: secret });
      await registered.ask("POST /api/sign-in", account);
      return registered;
    },
    /** The link in the next mail with one to that page; without a mail server the hub's log has it. */
    nextMail: (page: string): Promise<string> =>
      hub.process.findLine((line) => new RegExp(String.raw`http:[^\s"\\]+/${page}#[\w-]+`).exec(line)?.[0]),
    [Symbol.asyncDispose]: () => closing[Symbol.asyncDispose](),
  };
}

function tokiame(home: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): RunningProcess {
  const machine = { HOME: home, TOKIAME_NAMESPACE: "", ...env };
  return new RunningProcess({ name: "tokiame", script: "packages/worker/src/main.ts", args, env: machine });
}

/** What an authenticator app shows (RFC 6238), `steps` of 30 s from now. */
function codeOf(secret: string, steps: number): string {
  const bits = Array.from(secret, (letter) =>
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(letter).toString(2).padStart(5, "0"),
  ).join("");
  const key = Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + steps));
  const digest = createHmac("sha1", key).update(counter).digest();
  const at = (digest.at(-1) ?? 0) & 15;
  return String((digest.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}
