import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { createServer, type TLSSocket } from "node:tls";

import { eventually } from "../eventually.ts";
import { FaultProxy } from "../fault-proxy.ts";
import { chatBody } from "../http-exchange.ts";
import { readMetric } from "../hub-metrics.ts";
import { System } from "../system.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { CONNECTIONS } from "../worker.ts";
import { assertWholeStream, openStreams } from "./endings.ts";
import { takes } from "./long.ts";

const STREAM = { stream: true };
const PRELOADS = join(import.meta.dirname, "preloads");

function preload(name: string): { readonly NODE_OPTIONS: string } {
  return { NODE_OPTIONS: `--import=${join(PRELOADS, name)}` };
}

const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;

test(
  "F17: a certificate that expires",
  hasOpenssl ? takes(6) : { skip: "there is no openssl to make one" },
  async (t) => {
    await using folder = await temporaryFolder();
    const certificates = makeCertificates(folder.path);
    await using system = await System.start(t, { worker: false });
    const { access, engine, hub } = system;
    await using front = await startTlsFront(hub.port, certificates.good);
    await system.addWorker("worker-a", {
      hubUrl: `https://localhost:${front.port}`,
      env: { NODE_EXTRA_CA_CERTS: certificates.caPath },
    });
    await system.listing("simulated");

    await t.test("F17: running tunnels live on when the certificate is replaced by an expired one", async () => {
      const [running] = await openStreams(access, 1, () => chatBody({ tokens: 50, intervalMs: 20 }, STREAM));
      front.use(certificates.expired);

      assert.ok(running !== undefined);
      await assertWholeStream(running, 50);
    });

    await t.test("F17: a worker does not connect to a hub with an expired certificate, and says so", async () => {
      front.breakAll();

      await eventually("it says so", () => /expired/.test(system.program("worker-a").log));
      assert.deepEqual(await hub.models(access.apiKey), []);
    });

    await t.test("F17: when the certificate is renewed the worker is back by itself", async () => {
      front.use(certificates.good);

      await system.listing("simulated");
      await engine.waitFor((counts) => counts.active === 0);
    });
  },
);

interface Certificate {
  readonly key: Buffer;
  readonly cert: Buffer;
}

/** A certificate authority, and two certificates of it for "localhost", one of which was good in 2020. */
function makeCertificates(folder: string): { caPath: string; good: Certificate; expired: Certificate } {
  const openssl = (...args: readonly string[]): void => {
    const { status, stderr } = spawnSync("openssl", args, { cwd: folder, encoding: "utf8" });
    if (status !== 0) throw new Error(`openssl ${args.join(" ")}: ${stderr}`);
  };
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  writeFileSync(
    join(folder, "ca.cnf"),
    "[ca]\ndefault_ca=d\n[d]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n" +
      "x509_extensions=x\n[p]\ncommonName=supplied\n[x]\nsubjectAltName=DNS:localhost\n",
  );
  writeFileSync(join(folder, "index"), "");
  // Without it the two certificates of one name would be refused.
  writeFileSync(join(folder, "index.attr"), "unique_subject = no\n");
  writeFileSync(join(folder, "serial"), "01\n");
  openssl("req", "-x509", ...newKey, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test-ca");
  openssl("req", ...newKey, "-keyout", "hub.key", "-out", "hub.csr", "-subj", "/CN=localhost");
  const sign = [
    "ca",
    "-batch",
    "-config",
    "ca.cnf",
    "-cert",
    "ca.pem",
    "-keyfile",
    "ca.key",
    "-in",
    "hub.csr",
    "-notext",
  ];
  openssl(...sign, "-out", "good.pem", "-days", "2");
  openssl(...sign, "-out", "expired.pem", "-startdate", "20200101000000Z", "-enddate", "20200201000000Z");
  const key = readFileSync(join(folder, "hub.key"));
  const certificate = (name: string): Certificate => ({ key, cert: readFileSync(join(folder, name)) });
  return { caPath: join(folder, "ca.pem"), good: certificate("good.pem"), expired: certificate("expired.pem") };
}

/** What ends TLS in front of a hub: a reverse proxy, as short as can be. */
interface TlsFront extends AsyncDisposable {
  readonly port: number;
  /** For handshakes from now on. */
  use(certificate: Certificate): void;
  breakAll(): void;
}

async function startTlsFront(port: number, certificate: Certificate): Promise<TlsFront> {
  const sockets = new Set<TLSSocket>();
  const server = createServer(certificate, (socket) => {
    const upstream = connect(port, "127.0.0.1");
    sockets.add(socket);
    socket.on("close", () => {
      sockets.delete(socket);
      upstream.destroy();
    });
    upstream.on("close", () => socket.destroy());
    for (const each of [socket, upstream]) each.on("error", () => {});
    socket.pipe(upstream).pipe(socket);
  });
  server.on("tlsClientError", () => {});
  const listening = Promise.withResolvers<void>();
  server.listen(0, "localhost", listening.resolve);
  await listening.promise;
  const address = server.address();
  const breakAll = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: typeof address === "object" ? (address?.port ?? 0) : 0,
    use: (next) => server.setSecureContext(next),
    breakAll,
    async [Symbol.asyncDispose]() {
      breakAll();
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      await closed.promise;
    },
  };
}

test(
  "F18: the wall clock jumps an hour on and two back: no session ends, no deadline fires, new requests are served",
  takes(6),
  async (t) => {
    const env = preload("clock-jump.ts");
    await using system = await System.start(t, { hubEnv: env, workerEnv: env });
    const { access, hub } = system;
    const programs = [hub.process, system.program("worker-a")];
    const exchanges = await openStreams(access, 5, () => chatBody({ tokens: 150, intervalMs: 20 }, STREAM));

    for (const token of ["token-40", "token-80"]) {
      await Promise.all(exchanges.map((exchange) => exchange.until(token)));
      for (const program of programs) program.kill("SIGUSR2");
      // Before the next jump, that this one took place: a program's lines carry its time.
      const [fresh] = await openStreams(access, 1, () => chatBody({}, STREAM));
      assert.ok(fresh !== undefined);
      await assertWholeStream(fresh, 20);
    }

    for (const exchange of exchanges) await assertWholeStream(exchange, 150);
    assert.equal(await readMetric(hub.url, 'tunnel_connects_total{result="accepted"}'), CONNECTIONS);
    const startedMs = (await readMetric(hub.url, "process_start_time_seconds")) * 1000;
    assert.ok(Math.abs(Date.now() - startedMs) > 3_000_000, "the hub's clock did not jump");
  },
);

test("F19: the hub's name", takes(6), async (t) => {
  await using folder = await temporaryFolder();
  const hostsPath = join(folder.path, "hosts.json");
  const setHosts = (addresses?: readonly string[]) => {
    writeFileSync(hostsPath, JSON.stringify(addresses === undefined ? {} : { "hub.test": addresses }));
  };
  await using system = await System.start(t, { worker: false });
  const { access, hub } = system;
  await using first = await FaultProxy.start({ port: hub.port });
  setHosts();
  const worker = await system.addWorker("worker-a", {
    hubUrl: `http://hub.test:${first.port}`,
    env: { ...preload("host-names.ts"), FAULT_HOSTS: hostsPath },
  });

  await t.test("F19: does not exist yet: the worker says so and goes on trying", async () => {
    await eventually("it says so", () => /no such host/.test(worker.log));
    await eventually("it tries again", () => worker.log.split("next attempt").length > 2);
  });

  await t.test(
    "F19: gets an IPv6 address that leads nowhere and an IPv4 one: the worker connects by the good one",
    async () => {
      setHosts(["::1", "100::1", "127.0.0.1"]);

      await system.listing("simulated");
    },
  );

  await t.test("F19: disappears: the tunnel lives on", async () => {
    const [running] = await openStreams(access, 1, () => chatBody({ tokens: 50, intervalMs: 20 }, STREAM));
    setHosts();

    assert.ok(running !== undefined);
    await assertWholeStream(running, 50);
    assert.equal(first.connectionCount, CONNECTIONS);
  });

  await t.test(
    "F19: gets another address: the next connection goes there",
    { skip: process.platform !== "linux" && "only Linux has all of 127.0.0.0/8" },
    async () => {
      await using second = await FaultProxy.start({ port: hub.port, listenHost: "127.0.0.2", listenPort: first.port });
      setHosts(["127.0.0.2"]);

      first.reset();

      await eventually("it comes by the other address", () => second.acceptedCount === CONNECTIONS);
      await system.listing("simulated");
    },
  );
});
