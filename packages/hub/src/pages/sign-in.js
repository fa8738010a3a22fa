import { ask, at, goOn, keptJoin, offerProviders, onPress, onSubmit, readWays, Refusal, show, tell } from "./hub.js";

/** What another service's sign-in can end with: it comes back by an address, which has room for a code alone. */
const FAILED = {
  unauthenticated: "The sign-in did not succeed, or took too long. Try again.",
  forbidden: "You may not sign in this way: the account is disabled, or this hub takes no new ones.",
  conflict: "There is an account with your e-mail address. Sign in to it with its password or a passkey.",
  invalid_request: "There is no account for you yet. Open the link of an invite first.",
  invite_ended: "The invite can be used no more. Ask for a new one.",
};

const query = new URLSearchParams(location.search);
history.replaceState(history.state, "", location.pathname);

const ways = await readWays();
const join = keptJoin();
if (ways.user) goOn();
else if (!ways.is_set_up) show("not-set-up");
else if (query.get("step") === "second-factor") show("second");
else begin();

function begin() {
  at("for-invite").hidden = join === undefined;
  at("to-register").hidden = ways.registration === "closed" || (ways.registration === "invite" && join === undefined);
  at("to-join").hidden = ways.registration !== "invite" || join !== undefined;
  at("passkey").hidden = window.PublicKeyCredential?.parseRequestOptionsFromJSON === undefined;
  offerProviders(ways.providers);
  show("start");
  const error = query.get("error");
  if (error !== null) tell(at("by-password"), new Refusal({ message: FAILED[error] ?? FAILED.unauthenticated }));
}

/** @param {{ outcome: string }} step */
function arrive({ outcome }) {
  if (outcome === "second-factor") show("second");
  else goOn();
}

onSubmit(at("by-password"), async ({ email, password }) => arrive(await ask("POST api/sign-in", { email, password })));
onSubmit(at("by-code"), async ({ code }) => arrive(await ask("POST api/sign-in/second-factor", { code })));

onPress(at("passkey").firstElementChild, async () => {
  const { options } = await ask("POST api/sign-in/passkey/options");
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
  const credential = await navigator.credentials.get({ publicKey }).catch(() => {
    throw new Refusal({ message: "No passkey was shown. If you have none here, sign in with your password." });
  });
  arrive(await ask("POST api/sign-in/passkey", { response: credential.toJSON() }));
});
