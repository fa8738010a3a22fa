import { insertClaims } from "../store/model-claim-store.ts";
import type { PersonName, Scene } from "./matrix-scene.ts";

/** What is sent to a route. */
export interface MatrixRequest {
  readonly params?: Readonly<Record<string, string>>;
  readonly query?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Makes what the call is about, and says what to send. @param actor undefined: nobody. */
type Recipe = (scene: Scene, actor: PersonName | undefined) => Promise<MatrixRequest> | MatrixRequest;

const FIRST_VERSION = { "if-match": '"1"' };
const WRONG_TOKEN = "x".repeat(43);
const PASSWORD = "correct horse battery staple";
const CREDENTIAL = { id: "eA", rawId: "eA", type: "public-key", clientExtensionResults: {} };
const PASSKEY_ANSWER = { ...CREDENTIAL, response: { clientDataJSON: "eA", authenticatorData: "eA", signature: "eA" } };
const NEW_PASSKEY_ANSWER = { ...CREDENTIAL, response: { clientDataJSON: "eA", attestationObject: "eA" } };

const ofGroup: Recipe = ({ groupId }) => ({ params: { id: groupId } });
const ofKey: Recipe = async (scene) => ({ params: { id: await keyOf(scene) } });
const ofInvite: Recipe = async (scene) => ({ params: { id: (await inviteOf(scene)).id } });
const ofWorker: Recipe = async (scene) => ({ params: { id: await workerOf(scene) } });
const ofDevice: Recipe = async (scene) => ({ params: { code: await deviceOf(scene) } });
const ofMember: Recipe = async (scene) => ({
  params: { id: scene.groupId, user_id: (await scene.person("member")).id },
});
const ofOtherUser: Recipe = async (scene) => ({ params: { id: (await scene.person()).id } });
const none: Recipe = () => ({});

/** For each route with parameters or a body. Valid ones: who is refused is refused for who he is. */
const REQUESTS: Readonly<Record<string, Recipe>> = {
  "POST /api/set-up": () => ({ body: { token: WRONG_TOKEN, email: "eve@example.com", password: PASSWORD } }),
  "POST /api/sign-in": () => ({ body: { email: "nobody@example.com", password: PASSWORD } }),
  "POST /api/sign-in/second-factor": () => ({ body: { code: "000000" } }),
  "POST /api/sign-in/confirm": () => ({ body: { password: PASSWORD } }),
  "POST /api/sign-in/passkey": () => ({ body: { response: PASSKEY_ANSWER } }),
  "POST /api/sign-in/confirm/passkey": () => ({ body: { response: PASSKEY_ANSWER } }),
  "POST /api/sign-in/providers/{name}": () => ({ params: { name: "none" }, body: {} }),
  "GET /api/sign-in/providers/{name}/callback": () => ({ params: { name: "none" } }),
  "POST /api/register": ({ groupId }) => ({ body: { email: `${groupId}@example.com`, password: PASSWORD } }),
  "POST /api/verify-email": () => ({ body: { token: WRONG_TOKEN } }),
  "POST /api/verify-email/send": ({ groupId }) => ({ body: { email: `${groupId}@example.com` } }),
  "POST /api/reset-password/send": ({ groupId }) => ({ body: { email: `${groupId}@example.com` } }),
  "POST /api/reset-password": () => ({ body: { token: WRONG_TOKEN, password: PASSWORD } }),
  "PATCH /api/account": () => ({ body: { name: "New" }, headers: FIRST_VERSION }),
  "PUT /api/account/password": () => ({ body: { password: PASSWORD } }),
  "POST /api/account/email": ({ groupId }) => ({ body: { email: `new-${groupId}@example.com` } }),
  "POST /api/account/second-factor/confirm": () => ({ body: { code: "000000" } }),
  "POST /api/account/passkeys": () => ({ body: { response: NEW_PASSKEY_ANSWER, name: "phone" } }),
  "DELETE /api/account/passkeys/{id}": async (scene) => ({ params: { id: await passkeyOf(scene) } }),
  "POST /api/account/linked-accounts": () => ({ body: { provider: "none" } }),
  "DELETE /api/account/linked-accounts/{id}": async (scene) => ({ params: { id: await linkedAccountOf(scene) } }),
  "DELETE /api/sign-ins/{id}": ({ people }) => ({ params: { id: people.user.signInId } }),
  "POST /api/access-tokens": () => ({ body: { name: "script", scopes: ["account"], expires_at_ms: null } }),
  "DELETE /api/access-tokens/{id}": async (scene) => {
    const token = await scene.made("user", "/api/access-tokens", {
      name: "a",
      scopes: ["account"],
      expires_at_ms: null,
    });
    return { params: { id: String(token["id"]) } };
  },
  "POST /api/users": ({ groupId }) => ({ body: { email: `made-${groupId}@example.com` } }),
  "GET /api/users/{id}": ({ people }) => ({ params: { id: people.user.id } }),
  "PATCH /api/users/{id}": async (scene, actor) => ({
    ...(await ofOtherUser(scene, actor)),
    body: { is_disabled: true },
    headers: FIRST_VERSION,
  }),
  "PUT /api/users/{id}/role": async (scene, actor) => ({
    ...(await ofOtherUser(scene, actor)),
    body: { role: "auditor" },
    headers: FIRST_VERSION,
  }),
  "POST /api/users/{id}/end-sign-ins": ofOtherUser,
  "POST /api/users/{id}/reset-link": ofOtherUser,
  "DELETE /api/users/{id}/second-factor": ofOtherUser,
  "POST /api/keys": ({ groupId }) => ({ body: { kind: "api", name: "laptop", group_id: groupId } }),
  "GET /api/keys/{id}": ofKey,
  "PATCH /api/keys/{id}": async (scene, actor) => ({
    ...(await ofKey(scene, actor)),
    body: { name: "new" },
    headers: FIRST_VERSION,
  }),
  "DELETE /api/keys/{id}": ofKey,
  "POST /api/keys/{id}/rotate": async (scene, actor) => ({ ...(await ofKey(scene, actor)), body: {} }),
  "POST /api/groups": ({ groupId }) => ({ body: { slug: groupId.replace("group_", "new-"), name: "New" } }),
  "GET /api/groups/{id}": ofGroup,
  "PATCH /api/groups/{id}": ({ groupId }) => ({
    params: { id: groupId },
    body: { name: "New" },
    headers: FIRST_VERSION,
  }),
  "DELETE /api/groups/{id}": ({ groupId }) => ({ params: { id: groupId }, headers: FIRST_VERSION }),
  "GET /api/groups/{id}/deletion-preview": ofGroup,
  "POST /api/groups/{id}/transfer": ({ groupId, people }) => ({
    params: { id: groupId },
    body: { user_id: people.member.id },
    headers: FIRST_VERSION,
  }),
  "POST /api/groups/{id}/leave": ofGroup,
  "GET /api/groups/{id}/workers": ofGroup,
  "GET /api/groups/{id}/members": ofGroup,
  "GET /api/groups/{id}/members/{user_id}": ({ groupId, people }) => ({
    params: { id: groupId, user_id: people.member.id },
  }),
  "PATCH /api/groups/{id}/members/{user_id}": async (scene, actor) => ({
    ...(await ofMember(scene, actor)),
    body: { role: "provider" },
    headers: FIRST_VERSION,
  }),
  "PUT /api/groups/{id}/members/{user_id}": async (scene) => {
    const group = { kind: "public", slug: scene.groupId.replace("group_", "all-"), name: "All" };
    const { id } = await scene.made("admin", "/api/groups", group);
    return { params: { id: String(id), user_id: scene.people.user.id }, body: { role: "provider" } };
  },
  "DELETE /api/groups/{id}/members/{user_id}": ofMember,
  "POST /api/groups/{id}/members/{user_id}/ban": ofMember,
  "DELETE /api/groups/{id}/members/{user_id}/ban": async (scene, actor) => {
    const { params = {} } = await ofMember(scene, actor);
    await scene.made("owner", `/api/groups/${scene.groupId}/members/${params["user_id"] ?? ""}/ban`, undefined);
    return { params };
  },
  "POST /api/groups/{id}/provider-requests": ({ groupId }) => ({ params: { id: groupId }, body: { note: "please" } }),
  "GET /api/groups/{id}/provider-requests": ofGroup,
  "POST /api/groups/{id}/provider-requests/{request_id}/decision": async (scene) => {
    const request = await scene.made("member", `/api/groups/${scene.groupId}/provider-requests`, {});
    return { params: { id: scene.groupId, request_id: String(request["id"]) }, body: { decision: "refused" } };
  },
  "GET /api/groups/{id}/model-names": ofGroup,
  "PUT /api/groups/{id}/model-names": async (scene) => {
    await claim(scene);
    return { params: { id: scene.groupId }, body: { model: "llama", also: ["*"] } };
  },
  "DELETE /api/groups/{id}/model-names": async (scene) => {
    await claim(scene);
    return { params: { id: scene.groupId }, query: "?model=llama" };
  },
  "GET /api/groups/{id}/audit": ofGroup,
  "POST /api/invites": ({ groupId }) => ({ body: { group_id: groupId, role: "member" } }),
  "GET /api/invites": ({ groupId }) => ({ query: `?group_id=${groupId}` }),
  "GET /api/invites/{id}": ofInvite,
  "DELETE /api/invites/{id}": ofInvite,
  "GET /api/invites/{id}/uses": ofInvite,
  "POST /api/invites/preview": async (scene) => ({ body: { code: (await inviteOf(scene)).code } }),
  "POST /api/invites/redeem": async (scene) => ({ body: { code: (await inviteOf(scene)).code } }),
  "POST /api/invites/join-worker": async (scene) => ({
    body: { code: (await inviteOf(scene, "provider")).code, machine: "pc" },
  }),
  "POST /api/invites/redeem-worker": async (scene) => ({
    body: { code: (await inviteOf(scene, "provider")).code, machine: "pc" },
  }),
  "POST /api/device-joins/poll": ({ groupId }) => ({ body: { secret: groupId.padEnd(43, "x") } }),
  "GET /api/device-joins/{code}": ofDevice,
  "POST /api/device-joins/{code}/confirm": ofDevice,
  "POST /api/device-joins/{code}/refuse": ofDevice,
  "GET /api/workers/{id}": ofWorker,
  "DELETE /api/workers/{id}": ofWorker,
};

/** What is sent to a route of which nothing is said above. */
export function requestOf(operation: string): Recipe {
  return REQUESTS[operation] ?? none;
}

async function keyOf(scene: Scene): Promise<string> {
  const key = await scene.made("user", "/api/keys", { kind: "worker", name: "pc" });
  return String(key["id"]);
}

async function inviteOf(scene: Scene, role = "member"): Promise<{ readonly id: string; readonly code: string }> {
  const invite = await scene.made("owner", "/api/invites", { group_id: scene.groupId, role, max_uses: 5 });
  return { id: String(invite["id"]), code: String(invite["secret"]) };
}

async function deviceOf(scene: Scene): Promise<string> {
  const { code } = await inviteOf(scene, "provider");
  const started = await scene.made("owner", "/api/invites/join-worker", { code, machine: "pc" });
  return String(started["user_code"]);
}

/** A worker of `user`'s that is connected. */
async function workerOf(scene: Scene): Promise<string> {
  const key = await scene.made("user", "/api/keys", { kind: "worker", name: "pc" });
  await scene.admin.hub.connect(() => {}, { name: scene.groupId, token: String(key["secret"]) });
  const response = await scene.browse(scene.people.user, "GET", "/api/workers");
  const { data } = (await response.json()) as { data: readonly { id: string }[] };
  return data[0]?.id ?? "";
}

async function passkeyOf({ admin, people, groupId }: Scene): Promise<string> {
  const id = `passkey_${groupId}`;
  const passkey = { credential_id: id, public_key: "", counter: 0, transports: "[]", name: "phone" };
  const row = { id, user_id: people.user.id, ...passkey, created_at_ms: 1, last_used_at_ms: null };
  await admin.database.db.insertInto("passkeys").values(row).execute();
  return id;
}

async function linkedAccountOf({ admin, people, groupId }: Scene): Promise<string> {
  const id = `linked_${groupId}`;
  const row = { id, user_id: people.user.id, provider: "github", subject: id, email: null, created_at_ms: 1 };
  await admin.database.db.insertInto("linked_accounts").values(row).execute();
  return id;
}

async function claim({ admin, people, groupId }: Scene): Promise<void> {
  await insertClaims(admin.database.db, { groupId, ownerId: people.provider.id }, ["llama"], 1);
}
