import assert from "node:assert/strict";
import { closeSync, openSync, writeSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";

import { temporaryFolder } from "../../temporary-folder.ts";
import { StoreError } from "../store-error.ts";
import { toStoreError } from "./sqlite-error.ts";

test("a full disk is said to be full", () => {
  using database = new DatabaseSync(":memory:");
  database.exec("create table t (a text)");
  database.exec("pragma max_page_count = 2");

  assert.equal(
    codeOf(() => database.exec("insert into t values (zeroblob(1e6))")),
    "disk-full",
  );
});

test("a database that may only be read is said to be read-only", () => {
  using folder = temporaryFolder();
  new DatabaseSync(folder.file("a.db")).exec("create table t (a text)");
  using database = new DatabaseSync(folder.file("a.db"), { readOnly: true });

  assert.equal(
    codeOf(() => database.exec("insert into t values (1)")),
    "read-only",
  );
});

test("a database in a folder that is missing cannot be opened", () => {
  using folder = temporaryFolder();

  assert.equal(
    codeOf(() => new DatabaseSync(folder.file("no/a.db"))),
    "cannot-open",
  );
});

test("a database with damaged pages is said to be damaged", () => {
  using folder = temporaryFolder();
  using whole = new DatabaseSync(folder.file("a.db"));
  whole.exec("create table t (a text); insert into t values (1)");
  whole.close();
  const file = openSync(folder.file("a.db"), "r+");
  writeSync(file, Buffer.alloc(4096, 0xff), 0, 4096, 4096);
  closeSync(file);
  using damaged = new DatabaseSync(folder.file("a.db"));

  assert.equal(
    codeOf(() => damaged.prepare("select * from t").all()),
    "damaged",
  );
});

test("any other failure keeps SQLite's own words", () => {
  using database = new DatabaseSync(":memory:");

  assert.equal(
    codeOf(() => database.exec("selekt")),
    "failed",
  );
});

test("what is no error of SQLite is given back as it is", () => {
  const fault = new TypeError("ours");
  const known = new StoreError("failed", "said before");

  assert.equal(toStoreError(fault, "a.db"), fault);
  assert.equal(toStoreError(known, "a.db"), known);
  assert.equal(toStoreError(undefined, "a.db"), undefined);
});

function codeOf(act: () => unknown): string | undefined {
  try {
    act();
    return undefined;
  } catch (thrown) {
    const error = toStoreError(thrown, "a.db");
    assert.ok(error instanceof StoreError);
    assert.equal(error.cause, thrown);
    return error.code;
  }
}
