import { ask, at, onSubmit, readWays, say, show, takeFragment, tell } from "./hub.js";

const token = takeFragment();
const { user } = await readWays();

if (token === "") {
  show("again");
} else {
  // Whoever is signed in shows by it whose account it is, unless it is another one.
  at("password-field").hidden = user !== null;
  if (user) say({ lead: `You are signed in as ${user.email}.` });
  show("form");
}

onSubmit(at("by-link"), async ({ password }) => {
  try {
    await ask("POST api/verify-email", { token, ...(password && { password }) });
  } catch (refusal) {
    if (refusal.param === "password") at("password-field").hidden = false;
    if (refusal.param !== "token") throw refusal;
    show("again");
    return tell(at("by-mail"), refusal);
  }
  show("done");
});

onSubmit(at("by-mail"), async ({ email }) => {
  await ask("POST api/verify-email/send", { email });
  show("sent");
});
