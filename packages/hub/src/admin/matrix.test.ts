import assert from "node:assert/strict";
import { before, after, test } from "node:test";

import { startTestAdmin, type TestAdmin } from "../test-admin.ts";
import { addressOf, operationsOf, type Operation } from "./matrix-operations.ts";
import { requestOf } from "./matrix-requests.ts";
import { ACTORS, type ActorName, Scene } from "./matrix-scene.ts";

/**
 * What every route answers to everybody, with a valid request. `user` is whose keys, sign-ins and workers are asked for; groups,
 * their members and invites are those of `owner`'s private group. Who may not see an object is told 404; who sees it and may not
 * do it, 403.
 */
const TABLE = `
                                                                  nobody user other member provider owner auditor admin root
POST   /api/set-up                                                  400  400   400    400      400   400     400   400  400
GET    /api/sign-in                                                 200  200   200    200      200   200     200   200  200
POST   /api/sign-in                                                 401  401   401    401      401   401     401   401  401
POST   /api/sign-in/second-factor                                   401  401   401    401      401   401     401   401  401
POST   /api/sign-in/confirm                                         401  403   403    403      403   403     403   403  403
POST   /api/sign-out                                                401  204   204    204      204   204     204   204  204
POST   /api/sign-in/passkey/options                                 200  200   200    200      200   200     200   200  200
POST   /api/sign-in/passkey                                         401  401   401    401      401   401     401   401  401
POST   /api/sign-in/confirm/passkey                                 401  401   401    401      401   401     401   401  401
POST   /api/sign-in/providers/{name}                                404  404   404    404      404   404     404   404  404
GET    /api/sign-in/providers/{name}/callback                       303  303   303    303      303   303     303   303  303
POST   /api/register                                                202  202   202    202      202   202     202   202  202
POST   /api/verify-email                                            400  400   400    400      400   400     400   400  400
POST   /api/verify-email/send                                       202  202   202    202      202   202     202   202  202
POST   /api/reset-password/send                                     202  202   202    202      202   202     202   202  202
POST   /api/reset-password                                          400  400   400    400      400   400     400   400  400
GET    /api/me                                                      401  200   200    200      200   200     200   200  200
GET    /api/account                                                 401  200   200    200      200   200     200   200  200
PATCH  /api/account                                                 401  200   200    200      200   200     200   200  200
PUT    /api/account/password                                        401  204   204    204      204   204     204   204  204
POST   /api/account/email                                           401  202   202    202      202   202     202   202  202
GET    /api/account/second-factor                                   401  200   200    200      200   200     200   200  200
POST   /api/account/second-factor                                   401  200   200    200      200   200     200   200  200
DELETE /api/account/second-factor                                   401  404   404    404      404   404     404   404  404
POST   /api/account/second-factor/confirm                           401  400   400    400      400   400     400   400  400
POST   /api/account/second-factor/recovery-codes                    401  409   409    409      409   409     409   409  409
GET    /api/account/passkeys                                        401  200   200    200      200   200     200   200  200
POST   /api/account/passkeys                                        401  400   400    400      400   400     400   400  400
POST   /api/account/passkeys/options                                401  200   200    200      200   200     200   200  200
DELETE /api/account/passkeys/{id}                                   401  409   404    404      404   404     404   404  404
GET    /api/account/linked-accounts                                 401  200   200    200      200   200     200   200  200
POST   /api/account/linked-accounts                                 401  404   404    404      404   404     404   404  404
DELETE /api/account/linked-accounts/{id}                            401  409   404    404      404   404     404   404  404
GET    /api/sign-ins                                                401  200   200    200      200   200     200   200  200
DELETE /api/sign-ins/{id}                                           401  204   404    404      404   404     404   404  404
POST   /api/sign-ins/end-others                                     401  200   200    200      200   200     200   200  200
POST   /api/access-tokens                                           401  201   201    201      201   201     201   201  201
GET    /api/access-tokens                                           401  200   200    200      200   200     200   200  200
DELETE /api/access-tokens/{id}                                      401  204   404    404      404   404     404   404  404
GET    /api/users                                                   401  403   403    403      403   403     200   200  200
POST   /api/users                                                   401  403   403    403      403   403     403   201  201
GET    /api/users/{id}                                              401  200   404    404      404   404     200   200  200
PATCH  /api/users/{id}                                              401  403   403    403      403   403     403   200  200
PUT    /api/users/{id}/role                                         401  403   403    403      403   403     403   200  200
POST   /api/users/{id}/end-sign-ins                                 401  403   403    403      403   403     403   200  200
POST   /api/users/{id}/reset-link                                   401  403   403    403      403   403     403   202  202
DELETE /api/users/{id}/second-factor                                401  403   403    403      403   403     403   204  204
GET    /api/keys                                                    401  200   200    200      200   200     200   200  200
POST   /api/keys                                                    401  400   400    201      201   201     400   400  400
GET    /api/keys/{id}                                               401  200   404    404      404   404     200   200  200
PATCH  /api/keys/{id}                                               401  200   404    404      404   404     404   200  200
DELETE /api/keys/{id}                                               401  200   404    404      404   404     404   200  200
POST   /api/keys/{id}/rotate                                        401  200   404    404      404   404     404   403  403
GET    /api/groups                                                  401  200   200    200      200   200     200   200  200
POST   /api/groups                                                  401  201   201    201      201   201     403   201  201
GET    /api/groups/{id}                                             401  404   404    200      200   200     200   200  200
PATCH  /api/groups/{id}                                             401  404   404    403      403   200     403   200  200
DELETE /api/groups/{id}                                             401  404   404    403      403   204     403   204  204
GET    /api/groups/{id}/deletion-preview                            401  404   404    403      403   200     403   200  200
POST   /api/groups/{id}/transfer                                    401  404   404    403      403   200     403   200  200
POST   /api/groups/{id}/leave                                       401  404   404    204      204   409     409   409  409
GET    /api/groups/{id}/workers                                     401  404   404    200      200   200     200   200  200
GET    /api/groups/{id}/members                                     401  404   404    200      200   200     200   200  200
GET    /api/groups/{id}/members/{user_id}                           401  404   404    200      200   200     200   200  200
PATCH  /api/groups/{id}/members/{user_id}                           401  404   404    403      403   200     403   200  200
PUT    /api/groups/{id}/members/{user_id}                           401  403   403    403      403   403     403   200  200
DELETE /api/groups/{id}/members/{user_id}                           401  404   404    403      403   204     403   204  204
POST   /api/groups/{id}/members/{user_id}/ban                       401  404   404    403      403   200     403   200  200
DELETE /api/groups/{id}/members/{user_id}/ban                       401  404   404    403      403   200     403   200  200
POST   /api/groups/{id}/provider-requests                           401  404   404    201      409   409     201   201  201
GET    /api/groups/{id}/provider-requests                           401  404   404    403      403   200     403   200  200
POST   /api/groups/{id}/provider-requests/{request_id}/decision     401  404   404    200      404   200     404   200  200
GET    /api/groups/{id}/model-names                                 401  404   404    200      200   200     200   200  200
PUT    /api/groups/{id}/model-names                                 401  404   404    403      403   200     403   200  200
DELETE /api/groups/{id}/model-names                                 401  404   404    403      204   204     403   204  204
POST   /api/invites                                                 401  404   404    403      403   201     403   201  201
GET    /api/invites                                                 401  404   404    403      403   200     200   200  200
GET    /api/invites/{id}                                            401  404   404    404      404   200     200   200  200
DELETE /api/invites/{id}                                            401  404   404    404      404   200     403   200  200
GET    /api/invites/{id}/uses                                       401  404   404    404      404   200     200   200  200
POST   /api/invites/preview                                         200  200   200    200      200   200     200   200  200
POST   /api/invites/redeem                                          401  200   200    200      200   200     200   200  200
POST   /api/invites/join-worker                                     201  201   201    201      201   201     201   201  201
POST   /api/device-joins/poll                                       404  404   404    404      404   404     404   404  404
GET    /api/device-joins/{code}                                     401  200   200    200      200   200     200   200  200
POST   /api/device-joins/{code}/confirm                             401  200   200    200      200   200     200   200  200
POST   /api/device-joins/{code}/refuse                              401  204   204    204      204   204     204   204  204
POST   /api/invites/redeem-worker                                   401  201   201    201      201   201     201   201  201
GET    /api/workers                                                 401  200   200    200      200   200     200   200  200
GET    /api/workers/{id}                                            401  200   404    404      404   404     200   200  200
DELETE /api/workers/{id}                                            401  204   404    404      404   404     403   204  204
GET    /api/audit                                                   401  403   403    403      403   403     200   200  200
GET    /api/audit/export.ndjson                                     401  403   403    403      403   403     200   200  200
GET    /api/audit/export.csv                                        401  403   403    403      403   403     200   200  200
GET    /api/groups/{id}/audit                                       401  404   404    403      403   200     200   200  200
GET    /api/events                                                  401  200   200    200      200   200     200   200  200
GET    /api/openapi.json                                            200  200   200    200      200   200     200   200  200
`;

let admin: TestAdmin;
let scenes = 0;
before(async () => {
  const trustedProxies = { networks: ["127.0.0.1"], header: "x-forwarded-for" } as const;
  admin = await startTestAdmin({ trustedProxies }, { keys: "stored" });
});
after(() => admin[Symbol.asyncDispose]());

function openScene(): Promise<Scene> {
  scenes += 1;
  return Scene.open(admin, scenes);
}

const EXPECTED: ReadonlyMap<string, readonly number[]> = new Map(
  TABLE.trim()
    .split("\n")
    .slice(1)
    .map((line) => {
      const [method, path, ...statuses] = line.trim().split(/\s+/);
      return [`${method} ${path}`, statuses.map(Number)];
    }),
);

test("the table has every route of the document, and none that is gone", async () => {
  const names = (await operationsOf(admin)).map(({ name }) => name);

  assert.deepEqual([...EXPECTED.keys()].toSorted(), names.toSorted());
  for (const [name, statuses] of EXPECTED) assert.equal(statuses.length, ACTORS.length, name);
});

test("every route answers everybody as the table says", { timeout: 300_000 }, async () => {
  const wrong: string[] = [];

  for (const operation of await operationsOf(admin)) {
    const statuses = await Promise.all(ACTORS.map((actor) => statusFor(operation, actor)));
    const expected = EXPECTED.get(operation.name) ?? [];
    if (statuses.join() !== expected.join()) wrong.push(`${operation.name}: ${statuses.join(" ")}`);
  }

  assert.deepEqual(wrong, []);
});

test("what a route declares is what the table says of it", async () => {
  const roles: Readonly<Record<string, readonly ActorName[]>> = {
    auditor: ["auditor", "admin", "root"],
    admin: ["admin", "root"],
    root: ["root"],
  };

  for (const { name, permission } of await operationsOf(admin)) {
    const statusOf = (actor: ActorName): number => EXPECTED.get(name)?.[ACTORS.indexOf(actor)] ?? 0;
    const allowed = roles[permission];
    if (permission !== "public") assert.equal(statusOf("nobody"), 401, `nobody at ${name}`);
    for (const actor of allowed === undefined ? [] : ACTORS.slice(1)) {
      if (allowed?.includes(actor) === false) assert.equal(statusOf(actor), 403, `${actor} at ${name}`);
    }
    if (permission === "group-owner") assert.ok([403, 404].includes(statusOf("other")), `other at ${name}`);
    if (permission === "group-member") assert.equal(statusOf("other"), 404, `other at ${name}`);
    if (permission === "self") assert.equal(statusOf("other"), 404, `other at ${name}`);
  }
});

async function statusFor(operation: Operation, actor: ActorName): Promise<number> {
  const scene = await openScene();
  const request = await requestOf(operation.name)(scene, actor === "nobody" ? undefined : actor);
  const who = actor === "nobody" ? undefined : scene.people[actor];
  const response = await scene.browse(who, operation.method, addressOf(operation, request), request);
  // A stream of events would never end.
  await response.body?.cancel();
  return response.status;
}
