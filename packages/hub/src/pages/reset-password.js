import { ask, at, onSubmit, show, takeFragment, tell } from "./hub.js";

const token = takeFragment();
show(token === "" ? "ask" : "form");

onSubmit(at("by-link"), async ({ password }) => {
  try {
    await ask("POST api/reset-password", { token, password });
  } catch (refusal) {
    if (refusal.param !== "token") throw refusal;
    show("ask");
    return tell(at("by-mail"), refusal);
  }
  show("done");
});

onSubmit(at("by-mail"), async ({ email }) => {
  await ask("POST api/reset-password/send", { email });
  show("sent");
});
