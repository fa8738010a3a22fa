// What all pages share: how they ask the hub, how they show what it says, and what they keep from one page to the next.

/** What the hub refused, in its own words. */
export class Refusal extends Error {
  /** @param {{ message: string, code?: string, param?: string | null }} error As the API writes it. */
  constructor({ message, code = "", param = null }) {
    super(message);
    this.code = code;
    this.param = param;
  }
}

/**
 * Asks the admin API. Addresses are relative: the hub may stand below a path.
 *
 * @param {string} request Such as `POST api/sign-in`.
 * @param {object} [body]
 * @returns {Promise<any>} The answer's JSON; undefined when it has none.
 * @throws {Refusal}
 */
export async function ask(request, body) {
  const [method, path] = request.split(" ");
  const json = body && { headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch(path, { method, cache: "no-store", ...json }).catch(() => {
    throw new Refusal({ message: "The hub does not answer. Try again." });
  });
  const text = await response.text();
  if (response.ok) return text === "" ? undefined : JSON.parse(text);
  throw new Refusal(errorIn(text) ?? { message: `The hub answered ${response.status}. Try again.` });
}

/** @param {string} text */
function errorIn(text) {
  try {
    return JSON.parse(text).error;
  } catch {
    // A proxy's page, most likely.
    return undefined;
  }
}

/** Who is signed in, and the ways to sign in. */
export function readWays() {
  return ask("GET api/sign-in");
}

/** @param {string} id @returns {any} The element with that id, which the page has. */
export function at(id) {
  return document.getElementById(id);
}

/** Puts texts into elements, by their ids. @param {Record<string, string>} texts */
export function say(texts) {
  for (const [id, text] of Object.entries(texts)) at(id).textContent = text;
}

/** Shows one part of the page in place of another, and takes along those who do not see it. @param {string} id */
export function show(id) {
  const isFirst = document.querySelector("main > section:not([hidden])") === null;
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== id;
  const first = at(id).querySelector("[data-first]");
  if (first) first.focus();
  else if (!isFirst) at(id).querySelector("h1").focus();
}

/**
 * Calls `work` with what was filled in. Meanwhile no button can be pressed; what the hub refuses stands beside its field.
 *
 * @param {HTMLFormElement} form
 * @param {(fields: Record<string, string>) => Promise<void>} work
 */
export function onSubmit(form, work) {
  // Our own words, and not the browser's, which a page cannot place.
  form.noValidate = true;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void busy(form, async () => {
      const fields = [...form.elements].filter((each) => each.name && !each.closest("[hidden]"));
      const empty = fields.find((each) => each.required && each.value.trim() === "");
      if (empty) throw new Refusal({ message: "Please fill this in.", param: empty.name });
      await work(Object.fromEntries(fields.map((each) => [each.name, each.value])));
    });
  });
}

/** The same for a button that has no form. @param {HTMLElement} button @param {() => Promise<void>} work */
export function onPress(button, work) {
  button.addEventListener("click", () => void busy(button.closest("form, .stack, section"), work));
}

/** @param {HTMLElement} part @param {() => Promise<void>} work */
async function busy(part, work) {
  const buttons = [...part.querySelectorAll("button:not(:disabled)")];
  for (const old of part.querySelectorAll(".error, .alert")) old.remove();
  for (const field of part.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
  for (const button of buttons) button.disabled = true;
  try {
    await work();
  } catch (thrown) {
    if (!(thrown instanceof Refusal)) throw thrown;
    tell(part, thrown);
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

/** Shows a refusal in a part of the page: beside the field that it names, else at the top. @param {HTMLElement} part @param {Refusal} refusal */
export function tell(part, { message, param }) {
  const field = param && part.querySelector(`[name="${CSS.escape(param)}"]`);
  const text = document.createElement("p");
  text.setAttribute("role", "alert");
  if (!field || field.closest("[hidden]")) {
    text.className = "alert";
    text.tabIndex = -1;
    part.prepend(text);
    text.textContent = message;
    return text.focus();
  }
  const label = field.labels[0].firstChild.textContent.trim();
  text.className = "error";
  text.id = `${field.id}-error`;
  field.closest(".field").append(text);
  field.setAttribute("aria-invalid", "true");
  field.setAttribute("aria-describedby", `${field.dataset.help ?? ""} ${text.id}`.trim());
  // The hub names the field as programs do.
  text.textContent = message.replace(`"${param}"`, label).replace(new RegExp(`^${param}: `), "");
  field.focus();
}

/** What no part of a page expected, so that it does not stay empty or look as if nothing happened. @param {unknown} thrown */
function tellUnexpected(thrown) {
  const refusal =
    thrown instanceof Refusal ? thrown : new Refusal({ message: "This page has a fault. Load it again." });
  const shown = document.querySelector("main > section:not([hidden])");
  if (shown !== null) return tell(shown, refusal);
  const [section, heading, again] = ["section", "h1", "button"].map((name) => document.createElement(name));
  heading.textContent = "This page cannot be shown";
  again.textContent = "Try again";
  again.addEventListener("click", () => location.reload());
  section.className = "stack";
  section.append(heading, again);
  document.querySelector("main").append(section);
  tell(section, refusal);
  section.prepend(heading);
}

addEventListener("error", ({ error }) => tellUnexpected(error));
addEventListener("unhandledrejection", ({ reason }) => tellUnexpected(reason));

/**
 * What stands behind the # of the address, taken out of it: an address is copied, shared and kept in lists. It stays with this
 * entry of the tab's history, so that reloading the page does not lose it.
 *
 * @returns {string} "" when there is nothing.
 */
export function takeFragment() {
  const fragment = location.hash.slice(1) || (history.state?.fragment ?? "");
  history.replaceState({ fragment }, "", location.pathname);
  return fragment;
}

// Another link to the page that is open already changes only what stands behind the #.
addEventListener("hashchange", () => location.reload());

const JOIN = "tokilake-join";
const GROUP = "tokilake-group";

/**
 * The invite that brought somebody here, kept in this tab while they sign in.
 *
 * @returns {{ code: string, machine?: string, isWanted?: boolean } | undefined} `isWanted`: they said that they join.
 */
export function keptJoin() {
  const kept = sessionStorage.getItem(JOIN);
  return kept === null ? undefined : JSON.parse(kept);
}

/** @param {object | undefined} join undefined: it is done with. */
export function keepJoin(join) {
  if (join === undefined) sessionStorage.removeItem(JOIN);
  else sessionStorage.setItem(JOIN, JSON.stringify(join));
}

/** The group that was joined last in this tab. */
export function keptGroup() {
  return sessionStorage.getItem(GROUP);
}

/** @param {string} id */
export function keepGroup(id) {
  sessionStorage.setItem(GROUP, id);
}

/** To where somebody wanted who is signed in now. */
export function goOn() {
  location.replace(keptJoin() === undefined ? "account" : "join");
}

/**
 * A button for each other service that people sign in with.
 *
 * @param {{ name: string, label: string }[]} providers
 */
export function offerProviders(providers) {
  at("elsewhere").hidden = providers.length === 0;
  for (const { name, label } of providers) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet";
    button.textContent = `Go on with ${label}`;
    onPress(button, async () => {
      const code = keptJoin()?.code;
      const wanted = { return_to: code ? "/join" : "/account", ...(code && { invite_code: code }) };
      location.assign((await ask(`POST api/sign-in/providers/${encodeURIComponent(name)}`, wanted)).location);
    });
    at("providers").append(button);
  }
}

/** Makes each button with `data-copy` copy the text of the element with that id. */
export function copyButtons() {
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", () => void copy(button));
  }
}

/** @param {HTMLElement} button */
async function copy(button) {
  const source = at(button.dataset.copy);
  getSelection().selectAllChildren(source);
  // Pages without https have only the old way.
  if (navigator.clipboard) await navigator.clipboard.writeText(source.textContent);
  else document.execCommand("copy");
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = "Copy"), 2000);
}
