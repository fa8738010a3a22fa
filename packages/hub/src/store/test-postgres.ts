import { randomBytes } from "node:crypto";

import pg from "pg";

import { openStore } from "./open-store.ts";
import type { Store } from "./store.ts";

/** The server for tests, `postgres://…`; undefined: none was started, and its tests are skipped. `.ci/run` starts one. */
export const TEST_POSTGRES_URL = process.env["TOKILAKE_TEST_POSTGRES_URL"];

/** For `test(name, SKIPPED_WITHOUT_POSTGRES, …)`. */
export const SKIPPED_WITHOUT_POSTGRES = {
  skip: TEST_POSTGRES_URL === undefined && "TOKILAKE_TEST_POSTGRES_URL names no server (docs/operating.md, PostgreSQL)",
};

/** A schema of its own, dropped by its owner. Several stores may be opened on its `url`. */
export async function temporaryPostgres(): Promise<{ readonly url: string } & AsyncDisposable> {
  const server = new URL(TEST_POSTGRES_URL ?? "");
  const schema = `test_${randomBytes(8).toString("hex")}`;
  await run(server.href, `create schema ${schema}`);
  const url = new URL(server);
  url.searchParams.set("options", `-c search_path=${schema}`);
  return {
    url: url.href,
    [Symbol.asyncDispose]: () => run(server.href, `drop schema ${schema} cascade`),
  };
}

/** A store in a schema of its own; both go when it is disposed of. */
export async function openTemporaryPostgres(): Promise<Store> {
  const place = await temporaryPostgres();
  const store = await openStore(place.url);
  return {
    ...store,
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      await place[Symbol.asyncDispose]();
    },
  };
}

async function run(url: string, statement: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  await client.query(statement);
  await client.end();
}
