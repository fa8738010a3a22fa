import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { test } from "node:test";

import pg from "pg";

import { StoreError } from "../store-error.ts";
import { toStoreError } from "./postgres-error.ts";

/** AuthenticationOk and ReadyForQuery (https://www.postgresql.org/docs/15/protocol-message-formats.html). */
const WELCOME = Buffer.from("R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I", "latin1");

test("a server that takes the connection and says nothing is none", async () => {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const pool = new pg.Pool({ host: "127.0.0.1", port, max: 1, connectionTimeoutMillis: 50 });

  const thrown = await pool.connect().catch((error: unknown) => toStoreError(error, "postgres://u:p@db/hub"));

  assert.ok(thrown instanceof StoreError);
  assert.equal(thrown.code, "cannot-open");
  await pool.end();
  server.close();
});

test("a pool whose connections are all in use takes no more for now, as PostgreSQL itself would say", async () => {
  const server = createServer((socket) => socket.once("data", () => socket.write(WELCOME)));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const pool = new pg.Pool({ host: "127.0.0.1", port, max: 1, connectionTimeoutMillis: 200 });
  const only = await pool.connect();

  const thrown = await pool.connect().catch((error: unknown) => toStoreError(error, "postgres://u:p@db/hub"));

  assert.ok(thrown instanceof StoreError);
  assert.equal(thrown.code, "locked");
  assert.match(thrown.message, /^PostgreSQL at db\/hub takes no connection now/);
  only.release(true);
  await pool.end();
  server.close();
});
