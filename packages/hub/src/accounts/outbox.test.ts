import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { test } from "node:test";

import { SMTPServer } from "smtp-server";

import { SilentLog } from "../observe/silent-log.ts";
import { verificationMail } from "./mails.ts";
import { OUTBOX, Outbox, logPostman, smtpPostman } from "./outbox.ts";

test("a mail arrives at the mail server, with its link in one piece", async () => {
  const received: string[] = [];
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ["STARTTLS"],
    onData: (stream, session, done) => {
      let message = session.envelope.rcptTo.map(({ address }) => `${address}\n`).join("");
      stream.setEncoding("utf8").on("data", (chunk: string) => {
        message += chunk;
      });
      stream.once("end", () => {
        received.push(message);
        done();
      });
    },
  });
  server.listen(0, "127.0.0.1");
  await once(server.server, "listening");
  const { port } = server.server.address() as AddressInfo;
  const log = new SilentLog();
  const outbox = new Outbox(smtpPostman({ url: `smtp://127.0.0.1:${port}`, from: "Hub <hub@hub.example>" }), log);
  const link = `https://hub.example/verify-email#${"A".repeat(43)}`;

  outbox.post(() => Promise.resolve(verificationMail("ann@example.com", link)));
  await outbox.idle();
  await outbox[Symbol.asyncDispose]();

  assert.deepEqual(log.messages, []);
  assert.match(received[0] ?? "", /^ann@example\.com\n/);
  assert.match(received[0] ?? "", /^From: Hub <hub@hub\.example>\r$/m);
  assert.match(received[0] ?? "", /^Subject: Verify your e-mail address\r$/m);
  assert.ok(received[0]?.replaceAll("=\r\n", "").replaceAll("=3D", "=").includes(link));
  await new Promise<void>((resolve) => {
    server.close(resolve);
  });
});

test("a mail that fails is told in the log and does not stop the next one", async () => {
  const sent: string[] = [];
  const log = new SilentLog();
  const postman = {
    send: ({ to }: { to: string }) =>
      to === "bad@example.com" ? Promise.reject(new Error("refused")) : Promise.resolve(void sent.push(to)),
    close: () => {},
  };
  const outbox = new Outbox(postman, log);

  outbox.post(() => Promise.resolve(verificationMail("bad@example.com", "")));
  outbox.post(() => Promise.reject(new Error("no database")));
  outbox.post(() => Promise.resolve(undefined));
  outbox.post(() => Promise.resolve(verificationMail("good@example.com", "")));
  assert.deepEqual(sent, []);
  await outbox.idle();

  assert.deepEqual(sent, ["good@example.com"]);
  assert.deepEqual(log.messages, ["a mail could not be sent", "a mail could not be sent"]);
});

test("only so many mails wait for a server that hangs", async () => {
  const log = new SilentLog();
  const stuck = Promise.withResolvers<void>();
  const outbox = new Outbox({ send: () => stuck.promise, close: () => stuck.resolve() }, log);
  for (let count = 0; count < OUTBOX.maxWaiting + 5; count += 1) {
    outbox.post(() => Promise.resolve(verificationMail("ann@example.com", "")));
  }

  assert.equal(log.messages.length, 5);
  await outbox[Symbol.asyncDispose]();
});

test("without a mail server the log has the mail, and its link by itself, to be copied", async () => {
  const written: object[] = [];
  const log = Object.assign(new SilentLog(), { warn: (fields: object) => void written.push(fields) });
  const link = "https://hub.example/verify-email#x";
  const mail = verificationMail("ann@example.com", link);

  await logPostman(log).send(mail);

  assert.deepEqual(written, [{ ...mail, link }]);
});
