import {
  ask,
  at,
  copyButtons,
  keepGroup,
  keepJoin,
  keptJoin,
  onPress,
  onSubmit,
  readWays,
  Refusal,
  say,
  show,
  takeFragment,
} from "./hub.js";

const fragment = takeFragment();
if (fragment !== "") keepJoin(joinIn(fragment));

const { user, registration } = await readWays();
/** What is known of the invite or the machine that is shown. */
let shown = {};
copyButtons();
await begin();

/** @param {string} text `CODE` or `CODE&machine=USERCODE` */
function joinIn(text) {
  const [code, ...rest] = text.split("&");
  const machine = new URLSearchParams(rest.join("&")).get("machine") ?? undefined;
  const kept = keptJoin();
  // Reloaded, or back from signing in: what was said of it still holds.
  return kept?.code === code && kept.machine === machine ? kept : { code, machine };
}

async function begin() {
  const join = keptJoin();
  if (join === undefined) return show("type");
  try {
    await goOnWith(join);
  } catch (refusal) {
    if (!(refusal instanceof Refusal)) throw refusal;
    // One that is used up still lets in the machines of whoever used it.
    if (join.machine && !user) return show("machine-sign-in");
    keepJoin(undefined);
    say({ failure: refusal.message });
    show("failed");
  }
}

/** @param {{ code: string, machine?: string, isWanted?: boolean, isToHub?: boolean }} join */
async function goOnWith({ code, machine, isWanted, isToHub }) {
  if (!user) return offer({ code, machine });
  if (machine) return askAboutMachine(machine);
  if (!isWanted) return offer({ code });
  // An invite to the hub alone was used by registering.
  if (isToHub) return end();
  return redeem(code);
}

function end() {
  keepJoin(undefined);
  location.replace("account");
}

/** @param {string} title @param {string} text */
function tellEnd(title, text) {
  keepJoin(undefined);
  say({ "told-title": title, "told-text": text });
  show("told");
}

/** @param {{ code: string, machine?: string }} join */
async function offer({ code, machine }) {
  const { group, role, invited_by: inviter } = await ask("POST api/invites/preview", { code });
  if (!group && user) {
    return tellEnd("You have an account already", "This invite is for making one. Leave it to somebody else.");
  }
  shown = { code, machine, isToHub: !group, group: group?.name };
  const whither = group?.name ?? "this hub";
  say({
    "offer-title": inviter ? `${inviter} invites you to ${whither}` : `You are invited to ${whither}`,
    "offer-lead": machine ? "A machine waits to share its models there. First, sign in." : aboutOffer(group, role),
    join: `Join ${whither}`,
    command: `tokiame join "${new URL("join", location.href)}#${code}"`,
  });
  at("member-actions").hidden = user === null;
  at("stranger-actions").hidden = user !== null;
  at("register").hidden = registration === "closed";
  at("for-machines").hidden = role !== "provider" || !group || machine !== undefined;
  show("offer");
}

/** @param {{ description: string } | null} group @param {string} role */
function aboutOffer(group, role) {
  if (group === null) return "With it you make an account.";
  const may = role === "provider" ? "You may use its models, and share yours." : "You may use its models.";
  return group.description ? `${group.description} ${may}` : may;
}

for (const id of ["register", "sign-in"]) {
  // Whoever goes on from here said that they join.
  at(id).addEventListener("click", () => keepJoin({ ...shown, isWanted: true }));
}
onPress(at("join"), () => redeem(shown.code));

/** @param {string} code */
async function redeem(code) {
  const { group } = await ask("POST api/invites/redeem", { code });
  keepGroup(group.id);
  end();
}

/** @param {string} code Which the machine's terminal shows. */
async function askAboutMachine(code) {
  const path = `api/device-joins/${encodeURIComponent(code)}`;
  const { machine, address, group, state } = await ask(`GET ${path}`);
  if (state === "refused") return tellEnd("The answer was no", `To ask again, run the command again on ${machine}.`);
  if (state !== "waiting") return tellEnd("The answer was yes", `${machine} may serve in ${group.name}.`);
  shown = { path, machine, group };
  say({ "machine-name": machine, "machine-code": code, "machine-address": address, "machine-group": group.name });
  show("machine");
}

onPress(at("yes"), async () => {
  const { path, machine, group } = shown;
  await ask(`POST ${path}/confirm`);
  keepGroup(group.id);
  tellEnd(
    `${machine} joins ${group.name}`,
    "It gets its key by itself, in some seconds. Its terminal says what is next.",
  );
});

onPress(at("no"), async () => {
  await ask(`POST ${shown.path}/refuse`);
  tellEnd("You said no", `${shown.machine} gets no key, and is told so.`);
});

onSubmit(at("by-code"), async ({ code }) => {
  keepJoin({ code: code.trim() });
  await begin();
});

onPress(at("other"), async () => {
  history.replaceState(null, "", location.pathname);
  at("code").value = "";
  show("type");
});
