import { ask, at, copyButtons, keptGroup, onPress, onSubmit, readWays, Refusal, say, show } from "./hub.js";

/** What whoever runs the hub may use without being in any group. */
const OPERATORS = { id: "", name: "this hub", description: "The models that the keys of the command line use." };

const { user } = await readWays();
if (user === null) location.replace("sign-in");
else await begin();

async function begin() {
  const isOperator = user.role === "root" || user.role === "admin";
  const { data } = await ask("GET api/groups?limit=100");
  const mine = data.filter((group) => group.my_role !== null || group.kind === "public");
  const groups = [
    ...mine.filter(isJoined),
    ...mine.filter((group) => !isJoined(group)),
    ...(isOperator ? [OPERATORS] : []),
  ];
  at("group").replaceChildren(...groups.map(({ id, name }) => new Option(name, id)));
  at("group").addEventListener("change", () => describe(groups));
  at("group-field").hidden = groups.length < 2;
  at("with-group").hidden = groups.length === 0;
  at("no-group").hidden = groups.length > 0;
  at("for-root").hidden = !isOperator;
  at("passkey").hidden = window.PublicKeyCredential?.parseCreationOptionsFromJSON === undefined;
  say({
    who: user.name ? `${user.name}, ${user.email}` : user.email,
    title: groups.some(isJoined) ? `You are in ${groups[0].name}` : "You are in",
  });
  if (groups.length > 0) describe(groups);
  copyButtons();
  show("in");
}

/** @param {{ id: string }} group */
function isJoined({ id }) {
  return id === keptGroup();
}

/** @param {{ id: string, name: string, description: string }[]} groups */
function describe(groups) {
  const { name, description, my_role: role } = groups[at("group").selectedIndex];
  const roles = {
    owner: "You own this group.",
    provider: "You may share models here, too.",
    member: "You may use its models.",
  };
  say({ "group-name": name, about: description || (roles[role] ?? "Everybody on this hub may use its models.") });
}

onSubmit(at("make-key"), async ({ name }) => {
  const chosen = at("group").value;
  const { secret } = await ask("POST api/keys", { kind: "api", name, ...(chosen && { group_id: chosen }) });
  const baseUrl = new URL("v1", location.href).href;
  const models = await modelsOf(secret);
  const model = models.find((each) => !/embed|rerank|whisper|tts|clip|bge/i.test(each)) ?? models[0];
  say({
    "key-title": `Your key “${name.trim()}”`,
    secret,
    "base-url": baseUrl,
    curl: curl(baseUrl, secret, model ?? "MODEL"),
    models: model
      ? `Served now: ${models.slice(0, 12).join(", ")}${models.length > 12 ? " …" : ""}`
      : "Nobody serves a model right now. The key works as soon as somebody does.",
  });
  at("key").hidden = false;
  at("key-title").focus();
});

/** @param {string} key @returns {Promise<string[]>} */
async function modelsOf(key) {
  const response = await fetch("v1/models", { headers: { authorization: `Bearer ${key}` } });
  return response.ok ? (await response.json()).data.map(({ id }) => id) : [];
}

/** @param {string} baseUrl @param {string} key @param {string} model */
function curl(baseUrl, key, model) {
  const body = JSON.stringify({ model, messages: [{ role: "user", content: "Hello" }] });
  return [
    `curl ${baseUrl}/chat/completions \\`,
    `  -H "Authorization: Bearer ${key}" \\`,
    `  -H "Content-Type: application/json" \\`,
    // In single quotes for the shell, where a single quote ends the text.
    `  -d '${body.replaceAll("'", String.raw`'\''`)}'`,
  ].join("\n");
}

onPress(at("passkey"), async () => {
  const { options } = await ask("POST api/account/passkeys/options");
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
  const credential = await navigator.credentials.create({ publicKey }).catch(() => {
    throw new Refusal({ message: "No passkey was made." });
  });
  await ask("POST api/account/passkeys", { response: credential.toJSON(), name: "Passkey" });
  say({ passkey: "The passkey is kept" });
});

onPress(at("sign-out"), async () => {
  await ask("POST api/sign-out");
  location.replace("sign-in");
});
