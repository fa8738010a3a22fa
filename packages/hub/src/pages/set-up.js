import { ask, goOn, onSubmit, readWays, show, takeFragment } from "./hub.js";

const token = takeFragment();
const { is_set_up: isSetUp } = await readWays();
show(isSetUp ? "done" : token === "" ? "no-link" : "form");

onSubmit(document.forms[0], async ({ name, email, password }) => {
  await ask("POST api/set-up", { token, name, email, password });
  goOn();
});
