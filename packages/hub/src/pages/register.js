import {
  ask,
  at,
  goOn,
  keepJoin,
  keptJoin,
  offerProviders,
  onPress,
  onSubmit,
  readWays,
  Refusal,
  say,
  show,
} from "./hub.js";

const ways = await readWays();
const join = keptJoin();
let email = "";

if (ways.user) goOn();
else if (ways.registration === "closed") show("closed");
else if (ways.registration === "invite" && join === undefined) location.replace("join");
else await begin();

async function begin() {
  if (join !== undefined) {
    at("for-invite").hidden = false;
    say({
      "for-invite": join.group ? `Then you are in ${join.group}.` : "Your invite lets you in.",
      make: "Make an account and join",
    });
  }
  offerProviders(ways.providers);
  show("form");
}

onSubmit(document.forms[0], async ({ password, ...fields }) => {
  email = fields.email;
  const code = join && { invite_code: join.code };
  const { next } = await ask("POST api/register", { ...fields, password, ...code });
  // It let its holder in, and that was all.
  if (join?.isToHub) keepJoin(undefined);
  if (next === "sign-in") return signIn(password);
  say({ address: email });
  show("mail");
});

/** @param {string} password */
async function signIn(password) {
  const { outcome } = await ask("POST api/sign-in", { email, password }).catch((refusal) => {
    if (refusal.code !== "unauthenticated") throw refusal;
    const message =
      "There is an account with this address, with another password. Sign in to it, or choose a new password.";
    throw new Refusal({ message });
  });
  if (outcome === "second-factor") location.assign("sign-in?step=second-factor");
  else goOn();
}

onPress(at("again"), async () => {
  await ask("POST api/verify-email/send", { email });
  say({ again: "Sent. It can take a minute" });
});
