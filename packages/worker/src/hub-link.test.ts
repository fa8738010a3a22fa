import assert from "node:assert/strict";
import { test } from "node:test";

import type { LinkState, TunnelClient } from "@tokilake/tunnel";

import { type Connections, HubLink } from "./hub-link.ts";

const CONNECTING = { is: "connecting", attempt: 0 } as const;
const CONNECTED = { is: "connected", version: 2, sessionId: "s", hubId: "h", generation: 1 } as const;
const CLOSED = { is: "stopped", reason: "closed", code: "closed", message: "" } as const;
const REFUSED = { is: "stopped", reason: "refused", code: "version", message: "" } as const;

function waiting(attempt: number): LinkState {
  return { is: "waiting", attempt, retryInMs: 1, reason: "gone", code: "lost" };
}

/** A connection whose state the test sets. */
class FakeClient implements TunnelClient {
  readonly streamCount = 0;
  readonly updates: unknown[] = [];
  state: LinkState = CONNECTING;
  readonly #onState: (state: LinkState) => void;

  constructor(onState: (state: LinkState) => void) {
    this.#onState = onState;
    onState(CONNECTING);
  }

  become(state: LinkState): void {
    this.state = state;
    this.#onState(state);
  }

  update(details: unknown): void {
    this.updates.push(details);
  }

  drain(): Promise<void> {
    this.become({ is: "draining" });
    return Promise.resolve();
  }

  close(): void {
    if (this.state.is !== "stopped") this.become(CLOSED);
  }
}

function linkOf(connections: number): {
  link: HubLink;
  clients: FakeClient[];
  places: string[];
  told: [LinkState, Connections][];
} {
  const clients: FakeClient[] = [];
  const places: string[] = [];
  const told: [LinkState, Connections][] = [];
  const link = new HubLink({
    connections,
    connect: ({ slot, instanceId }, onState) => {
      places.push(`${slot} ${instanceId}`);
      return (clients[slot] = new FakeClient(onState));
    },
    onChange: (state, counts) => told.push([state, counts]),
  });
  return { link, clients, places, told };
}

test("the other connections start when the first is connected, all as one instance", () => {
  const { link, clients, places } = linkOf(3);
  const before = places.length;
  clients[0]?.become(CONNECTED);
  for (const client of clients.slice(1)) client.become(CONNECTED);
  const instanceId = places[0]?.slice(2);

  assert.equal(before, 1);
  assert.deepEqual(places, [`0 ${instanceId}`, `1 ${instanceId}`, `2 ${instanceId}`]);
  assert.deepEqual(link.connections, { open: 3, wanted: 3, isSettling: false });
});

test("a hub of version 1 gets one connection", () => {
  const { link, clients } = linkOf(3);
  clients[0]?.become({ ...CONNECTED, version: 1 });

  assert.equal(clients.length, 1);
  assert.deepEqual(link.connections, { open: 1, wanted: 1, isSettling: false });
});

test("the link is connected while one connection is, whichever", () => {
  const { link, clients, told } = linkOf(2);
  clients[0]?.become(CONNECTED);
  clients[1]?.become(CONNECTED);
  clients[0]?.become(waiting(1));
  const withOne = [link.state.is, link.connections] as const;
  clients[0]?.become(waiting(2));
  clients[1]?.become(waiting(1));

  assert.deepEqual(withOne, ["connected", { open: 1, wanted: 2, isSettling: true }]);
  assert.equal(link.state, clients[0]?.state);
  assert.equal(told.at(-1)?.[0], clients[1]?.state, "the loss that ended the link is told");
  assert.deepEqual(
    told.map(([state, { open, wanted }]) => `${state.is} ${open}/${wanted}`),
    ["connecting 0/1", "connected 1/2", "connected 2/2", "connected 1/2", "connected 1/2", "waiting 0/2"],
  );
});

test("one that is not there after two attempts is missing, not on its way", () => {
  const { link, clients } = linkOf(2);
  clients[0]?.become(CONNECTED);
  clients[1]?.become(waiting(1));
  const first = link.connections.isSettling;
  clients[1]?.become({ is: "connecting", attempt: 1 });
  clients[1]?.become(waiting(2));

  assert.deepEqual([first, link.connections.isSettling], [true, false]);
});

test("another connection that is refused ends nothing, and is tried again with the next connect of the first", () => {
  const { link, clients, places } = linkOf(2);
  clients[0]?.become(CONNECTED);
  clients[1]?.become(REFUSED);
  const state = link.state.is;
  clients[0]?.become(CONNECTED);

  assert.deepEqual([state, places.length], ["connected", 3]);
});

test("updates go to the hub on every connection", () => {
  const { link, clients } = linkOf(2);
  clients[0]?.become(CONNECTED);
  link.update("news");

  assert.deepEqual(
    clients.map(({ updates }) => updates),
    [["news"], ["news"]],
  );
});

test("a link that ends is draining until the last connection is closed, and opens none any more", async () => {
  const { link, clients } = linkOf(2);
  clients[0]?.become(CONNECTED);
  clients[1]?.become(CONNECTED);
  await link.drain({ graceMs: 1000 });
  const states = [link.state.is];
  clients[0]?.become(CLOSED);
  states.push(link.state.is);
  clients[1]?.become(CLOSED);
  states.push(link.state.is);
  clients[0]?.become(CONNECTED);

  assert.deepEqual(states, ["draining", "draining", "stopped"]);
  assert.equal(clients.length, 2);
});

test("a refusal of the first is one of the worker", () => {
  const { link, clients } = linkOf(2);
  clients[0]?.become(REFUSED);
  link.close();

  assert.equal(link.state, REFUSED);
});
