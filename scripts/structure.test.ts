import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";

const root = dirname(import.meta.dirname);

/** An import that points the wrong way for each rule of the house, and one that does not. */
const WRONG: readonly (readonly [file: string, imports: string])[] = [
  ["packages/tunnel/src/x.ts", "tokilake"],
  ["packages/tunnel/src/x.ts", "tokiame"],
  ["packages/tunnel/src/websocket/x.ts", "../mux/mux.ts"],
  ["packages/tunnel/src/websocket/x.ts", "../client/tunnel-client.ts"],
  ["packages/tunnel/src/wire/x.ts", "../mux/mux.ts"],
  ["packages/tunnel/src/mux/x.ts", "../server/tunnel-server.ts"],
  ["packages/tunnel/src/mux/x.ts", "node:timers"],
  ["packages/tunnel/src/mux/x.ts", "ws"],
  ["packages/tunnel/src/mux/x.ts", "../v1/smux-frame.ts"],
  ["packages/tunnel/src/v1/x.ts", "../carrier/websocket-carrier.ts"],
  ["packages/tunnel/src/v1/x.ts", "../server/tunnel-server.ts"],
  ["packages/tunnel/src/v1/x.ts", "node:timers"],
  ["packages/tunnel/src/carrier/x.ts", "../client/dial.ts"],
  ["packages/tunnel/src/client/x.ts", "../server/tunnel-server.ts"],
  ["packages/hub/src/relay/x.ts", "tokiame"],
  ["packages/hub/src/relay/x.ts", "../../../worker/src/config.ts"],
  ["packages/hub/src/relay/x.ts", "../../../tunnel/src/mux/mux.ts"],
  ["packages/worker/src/serving/x.ts", "tokilake"],
  ["packages/worker/src/serving/x.ts", "../../../hub/src/errors.ts"],
  ["packages/tiny-engine/src/x.ts", "@tokilake/tunnel"],
  ["packages/hub/src/store/x.ts", "../observe/log.ts"],
  ["packages/hub/src/observe/x.ts", "../identity/key-ring.ts"],
  ["packages/hub/src/channels/x.ts", "../fleet/fleet.ts"],
  ["packages/hub/src/identity/x.ts", "../http/reply.ts"],
  ["packages/hub/src/identity/x.ts", "../groups/groups.ts"],
  ["packages/hub/src/identity/x.ts", "../accounts/users.ts"],
  ["packages/hub/src/accounts/x.ts", "../groups/groups.ts"],
  ["packages/hub/src/groups/x.ts", "../http/reply.ts"],
  ["packages/hub/src/groups/x.ts", "../admin/route.ts"],
  ["packages/hub/src/http/x.ts", "../admin/admin-api.ts"],
  ["packages/hub/src/relay/x.ts", "../admin/event-hub.ts"],
  ["packages/hub/src/admin/x.ts", "../relay/run.ts"],
  ["packages/hub/src/admin/x.ts", "../hub-admin.ts"],
  ["packages/hub/src/hub-admin.ts", "./hub.ts"],
  ["packages/hub/src/hub-services.ts", "./hub-admin.ts"],
  ["packages/hub/src/admin/x.ts", "../hub-workers.ts"],
  ["packages/hub/src/pages/x.ts", "../accounts/users.ts"],
  ["packages/hub/src/pages/x.ts", "../admin/route.ts"],
  ["packages/hub/src/http/x.ts", "../pages/pages-routes.ts"],
  ["packages/hub/src/billing/x.ts", "../relay/run.ts"],
  ["packages/hub/src/fleet/x.ts", "../routing/choose.ts"],
  ["packages/hub/src/http/x.ts", "../relay/run.ts"],
  ["packages/hub/src/routing/x.ts", "../relay/run.ts"],
  ["packages/hub/src/relay/x.ts", "../hub.ts"],
  ["packages/hub/src/hub-life.ts", "./hub.ts"],
  ["packages/hub/src/hub.ts", "./cli/cli.ts"],
  ["packages/worker/src/engines/x.ts", "../targets/target.ts"],
  ["packages/worker/src/discovery/x.ts", "../targets/target.ts"],
  ["packages/worker/src/targets/x.ts", "../serving/serve-stream.ts"],
  ["packages/worker/src/report/x.ts", "../commands/run.ts"],
  ["packages/worker/src/worker.ts", "./commands/run.ts"],
];
const RIGHT: readonly (readonly [file: string, imports: string])[] = [
  ["packages/hub/src/relay/y.ts", "../routing/choose.ts"],
  ["packages/hub/src/fleet/y.ts", "@tokilake/tunnel"],
  ["packages/hub/src/identity/y.ts", "../store/key-store.ts"],
  ["packages/hub/src/groups/y.ts", "../identity/actor.ts"],
  ["packages/hub/src/admin/y.ts", "../groups/groups.ts"],
  ["packages/hub/src/hub-admin.ts", "./admin/admin-api.ts"],
  ["packages/hub/src/pages/y.ts", "../http/router.ts"],
  ["packages/hub/src/hub.ts", "./pages/pages-routes.ts"],
  ["packages/worker/src/serving/y.ts", "@tokilake/tunnel"],
  ["packages/tunnel/src/v1/y.ts", "../mux/fifo.ts"],
  ["packages/tunnel/src/carrier/y.ts", "ws"],
  ["packages/tunnel/src/server/y.ts", "node:http"],
];

test("lint refuses each import that points the wrong way, and only those", () => {
  const house = mkdtempSync(join(tmpdir(), "tokilake-structure-"));
  try {
    cpSync(join(root, ".oxlintrc.json"), join(house, ".oxlintrc.json"));
    const sources = new Map<string, string>();
    for (const [file, imports] of [...WRONG, ...RIGHT]) {
      sources.set(file, `${sources.get(file) ?? ""}import "${imports}";\n`);
    }
    for (const [file, source] of sources) {
      mkdirSync(dirname(join(house, file)), { recursive: true });
      writeFileSync(join(house, file), source);
    }

    const refused = restrictedImportsIn(house);

    assert.deepEqual(refused.toSorted(), WRONG.map(([file, imports]) => `${file} ${imports}`).toSorted());
  } finally {
    rmSync(house, { recursive: true });
  }
});

/** `file import` for each import that the rule `no-restricted-imports` reports. */
function restrictedImportsIn(house: string): string[] {
  const oxlint = join(root, "node_modules/.bin/oxlint");
  const { stdout } = spawnSync(oxlint, ["--format=unix"], { cwd: house, encoding: "utf8" });
  return [...stdout.matchAll(/^(?:\.\/)?([^\s:]+):(\d+):\d+: '.*' import is restricted/gm)].map(
    ([, file = "", line]) => {
      const source = readFileSync(join(house, file), "utf8").split("\n")[Number(line) - 1] ?? "";
      return `${file} ${source.slice('import "'.length, -'";'.length)}`;
    },
  );
}
