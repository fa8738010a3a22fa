import assert from "node:assert/strict";
import { test } from "node:test";

import { MAX_EVENT_BYTES, SseEvents } from "./sse-events.ts";

/** Processor time of this process, in milliseconds: other work on the machine does not count. */
function cpuMs(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000;
}

test("an event in single bytes costs no more for each than a short one does, so a worker cannot keep the hub busy with it", () => {
  const byte = Buffer.from("x");
  const events = new SseEvents();
  const push = (count: number) => (): void => {
    for (let sent = 0; sent < count; sent += 1) assert.equal(events.push(byte), undefined);
  };
  push(20_000)();

  const first = cpuMs(push(50_000));
  push(MAX_EVENT_BYTES - 120_000)();
  const last = cpuMs(push(50_000));

  // Searched and copied anew with each byte it was 25 times as much, and seconds.
  assert.ok(last < 5 * first + 50, `${first} ms at the beginning, ${last} ms at the end`);
});

test("blank lines of different kinds in one stream each end an event", () => {
  const events = new SseEvents();

  const first = events.push(Buffer.from("data: a\n\ndata: b\r\rdata: c"));
  const second = events.push(Buffer.from("\r\n\r\nd"));

  assert.equal(first?.text, "data: a\n\ndata: b\r\r");
  assert.equal(second?.text, "data: c\r\n\r\n");
  assert.equal(events.end()?.text, "d");
});
