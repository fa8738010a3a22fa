import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { test } from "node:test";

import { ConfigError, readConfig, timeoutsFor, unknownVariables } from "./config.ts";
import { temporaryFolder } from "./temporary-folder.ts";

test("without any setting the hub listens on 19981 and keeps its data in ./data", () => {
  using folder = temporaryFolder();

  const config = readConfig({ TOKILAKE_DATA_DIR: folder.path });

  assert.deepEqual(config, {
    host: "0.0.0.0",
    port: 19981,
    dataDir: folder.path,
    databaseUrl: `sqlite:${folder.path}/tokilake.db`,
    log: { level: "info", format: "auto" },
    limits: {
      maxJsonBytes: 33_554_432,
      maxUploadBytes: 536_870_912,
      maxBodyMemoryBytes: 1_073_741_824,
      maxSpoolBytes: 8_589_934_592,
      maxRequests: 10_000,
    },
    assumesTunnelV1: false,
    publicUrl: undefined,
    metricsToken: undefined,
    trustedProxies: { networks: [], header: "x-forwarded-for" },
    accounts: {
      registration: "invite",
      requiresVerifiedEmail: false,
      secretKey: undefined,
      mail: undefined,
      admin: undefined,
      providers: [],
    },
    groups: { maxGroupsPerUser: 20, maxMembersPerGroup: 1_000, maxInvitesPerGroup: 100 },
    drainGraceMs: 30_000,
    timeouts: { connectMs: 5000, firstTokenMs: 300_000, idleMs: 120_000, totalMs: 1_800_000 },
    modelTimeouts: {},
    requestLog: { maxRows: 1_000_000 },
  });
  assert.equal(readConfig({}).dataDir, `${process.cwd()}/data`);
});

test("the command line wins over the environment, and an empty variable is not set", () => {
  using folder = temporaryFolder();

  const config = readConfig(
    { TOKILAKE_DATA_DIR: "/nowhere", TOKILAKE_PORT: "1", TOKILAKE_HOST: "" },
    { port: "2", "data-dir": folder.path },
  );

  assert.deepEqual([config.port, config.host, config.dataDir], [2, "0.0.0.0", folder.path]);
});

test("what belongs together must be set together, and no message shows a secret", () => {
  const mistakeOf = (env: Record<string, string>): string => {
    try {
      readConfig(env);
      return "none";
    } catch (thrown) {
      return thrown instanceof ConfigError ? thrown.message : String(thrown);
    }
  };

  assert.match(
    mistakeOf({ TOKILAKE_ADMIN_EMAIL: "a@b.c" }),
    /TOKILAKE_ADMIN_PASSWORD must be set with TOKILAKE_ADMIN_EMAIL/,
  );
  assert.match(mistakeOf({ TOKILAKE_MAIL_FROM: "a@b.c" }), /TOKILAKE_SMTP_URL must be set with TOKILAKE_MAIL_FROM/);
  assert.match(
    mistakeOf({ TOKILAKE_SECRET_KEY: "hunter2" }),
    /TOKILAKE_SECRET_KEY must be 64 hex digits.*\(it is hidden\)/,
  );
  assert.match(mistakeOf({ TOKILAKE_PUBLIC_URL: "hub.example" }), /TOKILAKE_PUBLIC_URL must be an address with http/);
  const both = { TOKILAKE_ADMIN_EMAIL: "a@b.c", TOKILAKE_ADMIN_PASSWORD: "p" };
  assert.deepEqual(readConfig(both).accounts.admin, { email: "a@b.c", password: "p" });
});

test("all mistakes come in one message, each by the name it was given", () => {
  using folder = temporaryFolder();
  writeFileSync(folder.file("tokilake.json"), JSON.stringify({ timeouts: { idleMs: -1, idle: 5 }, modles: {} }));

  assert.throws(
    () =>
      readConfig(
        {
          TOKILAKE_DATABASE_URL: "mysql://user:hunter2@db/hub",
          TOKILAKE_LOG_LEVEL: "loud",
          TOKILAKE_IDLE_TIMEOUT_MS: "0",
          TOKILAKE_MAX_REQUESTS: "1e3",
        },
        { port: "99999", "data-dir": folder.path },
      ),
    (error) => {
      assert.ok(error instanceof ConfigError);
      assert.equal(
        error.message,
        `The configuration has 8 mistakes:
  --port must be a whole number from 0 to 65535 (it is "99999")
  TOKILAKE_DATABASE_URL must be sqlite: and the path of a file, or postgres://user:password@host/database (it is "mysql://user:…@db/hub")
  TOKILAKE_LOG_LEVEL must be one of debug, info, warn, error (it is "loud")
  TOKILAKE_MAX_REQUESTS must be a whole number from 1 to 1000000 (it is "1e3")
  TOKILAKE_IDLE_TIMEOUT_MS must be a whole number from 1 to 86400000 (it is "0")
  ${folder.path}/tokilake.json: timeouts.idleMs: Too small: expected number to be >=1
  ${folder.path}/tokilake.json: timeouts: Unrecognized key: "idle"
  ${folder.path}/tokilake.json: Unrecognized key: "modles"`,
      );
      return true;
    },
  );
});

test("each number is taken at its bounds and refused one past them", () => {
  for (const port of ["0", "65535"]) assert.equal(readConfig({ TOKILAKE_PORT: port }).port, Number(port));
  for (const port of ["65536", "-1", "1.5", " 1", "0x10"]) {
    assert.throws(() => readConfig({ TOKILAKE_PORT: port }), /TOKILAKE_PORT must be a whole number/);
  }
});

test("trusted proxies are addresses and blocks; anything else is a mistake", () => {
  const read = (list: string) => readConfig({ TOKILAKE_TRUSTED_PROXIES: list }).trustedProxies.networks;

  assert.deepEqual(read("10.0.0.0/8, ::1,2001:db8::/32"), ["10.0.0.0/8", "::1", "2001:db8::/32"]);
  assert.throws(() => read("10.0.0.1, proxy"), /TOKILAKE_TRUSTED_PROXIES must be addresses or CIDR .* not "proxy"/);
  for (const bad of ["10.0.0.0/33", "10.0.0/8", "::1/129", "10.0.0.0/", "10.0.0.0/8/8", "fe80::1%eth0"]) {
    assert.throws(() => read(bad), /TOKILAKE_TRUSTED_PROXIES must be addresses/, bad);
  }
  assert.throws(() => readConfig({ TOKILAKE_PROXY_HEADER: "x-real-ip" }), /must be one of x-forwarded-for, forwarded/);
});

test("a configuration file that was asked for must be there and be JSON", () => {
  using folder = temporaryFolder();
  writeFileSync(folder.file("broken.json"), "{");

  assert.throws(() => readConfig({}, { config: folder.file("no.json") }), /no\.json cannot be read \(ENOENT\)/);
  assert.throws(() => readConfig({ TOKILAKE_CONFIG: folder.file("broken.json") }), /broken\.json is not JSON/);
});

test(
  "a data folder that is closed to this user is said to be the fault, not a file that nobody spoke of",
  { skip: process.platform === "win32" || process.getuid?.() === 0 ? "nothing is closed to this user" : false },
  () => {
    using folder = temporaryFolder();
    // Its names can be read, so that it can be removed, but nothing in it be opened.
    mkdirSync(folder.file("closed"), { mode: 0o600 });

    assert.throws(
      () => readConfig({ TOKILAKE_DATA_DIR: folder.file("closed") }),
      /cannot be read \(EACCES\): choose a data folder of this user's with --data-dir/,
    );
  },
);

test("timeouts come from the file, the environment wins, and models have their own", () => {
  using folder = temporaryFolder();
  const file = {
    timeouts: { idleMs: 1000, totalMs: 2000 },
    models: {
      "*": { timeouts: { connectMs: 9 } },
      "llama3*": { timeouts: { firstTokenMs: 10 } },
      "llama3:70b*": { timeouts: { firstTokenMs: 20 } },
      "llama3:70b-q4": { timeouts: { idleMs: 30 } },
    },
  };
  writeFileSync(folder.file("tokilake.json"), JSON.stringify(file));

  const config = readConfig({ TOKILAKE_DATA_DIR: folder.path, TOKILAKE_TOTAL_TIMEOUT_MS: "3000" });

  const general = { connectMs: 5000, firstTokenMs: 300_000, idleMs: 1000, totalMs: 3000 };
  assert.deepEqual(config.timeouts, general);
  assert.deepEqual(timeoutsFor(config, "qwen"), { ...general, connectMs: 9 });
  assert.deepEqual(timeoutsFor(config, "llama3:8b"), { ...general, firstTokenMs: 10 });
  assert.deepEqual(timeoutsFor(config, "llama3:70b-q8"), { ...general, firstTokenMs: 20 });
  assert.deepEqual(timeoutsFor(config, "llama3:70b-q4"), { ...general, idleMs: 30 });
});

test("a model named like a part of every object has the general timeouts", () => {
  const config = readConfig({});

  assert.equal(timeoutsFor(config, "constructor"), config.timeouts);
});

test("a pattern with its star elsewhere than at the end is a mistake", () => {
  using folder = temporaryFolder();
  writeFileSync(folder.file("c.json"), JSON.stringify({ models: { "a*b": { timeouts: {} } } }));

  assert.throws(() => readConfig({}, { config: folder.file("c.json") }), /models\.a\*b: must be a model's name/);
});

test("a database may be elsewhere than the data", () => {
  const urlOf = (url: string): string => readConfig({ TOKILAKE_DATABASE_URL: url }).databaseUrl;

  assert.equal(urlOf("sqlite:/var/hub.db"), "sqlite:/var/hub.db");
  assert.equal(urlOf("sqlite:///var/hub.db"), "sqlite:/var/hub.db");
  assert.equal(urlOf("sqlite:hub.db"), `sqlite:${process.cwd()}/hub.db`);
  assert.equal(urlOf("postgres://me@db:5433/hub?sslmode=require"), "postgres://me@db:5433/hub?sslmode=require");
  assert.throws(() => urlOf("postgres:hub"), /postgres:\/\/user:password@host\/database/);
  assert.throws(() => urlOf("sqlite::memory:"), /must be sqlite: and the path of a file/);
  assert.throws(() => urlOf("mysql://h/d"), /must be sqlite: and the path of a file/);
});

test("variables that begin like ours and are none are found", () => {
  assert.deepEqual(unknownVariables({ TOKILAKE_PORT: "1", TOKILAKE_PROT: "2", PATH: "x" }), ["TOKILAKE_PROT"]);
});
