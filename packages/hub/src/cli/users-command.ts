import {
  changeRole,
  createUserAs,
  disableUser,
  enableUser,
  endSignInsAs,
  listUsers,
  removeSecondFactorAs,
  sendResetLink,
} from "../accounts/users.ts";
import { OPERATOR } from "../identity/actor.ts";
import { SilentLog } from "../observe/silent-log.ts";
import type { UserRole } from "../store/access-schema.ts";
import type { UserRecord } from "../store/user-store.ts";
import { UsageError } from "./cli-error.ts";
import { namedUser } from "./command-groups.ts";
import { type Asked, noun } from "./command.ts";
import { shownText, shownTime } from "./flag-values.ts";
import { showList } from "./show-list.ts";
import { tellDone, untilNoticed } from "./until-noticed.ts";

const FLAGS = {
  name: { type: "string" },
  role: { type: "string" },
  search: { type: "string" },
  limit: { type: "string" },
  json: { type: "boolean" },
} as const;

type AskedForUsers = Asked<typeof FLAGS>;

const ROLES: readonly UserRole[] = ["root", "admin", "auditor", "user"];

/** `tokilake users …` */
export const USERS = noun({
  flags: FLAGS,
  commands: {
    list: { flags: ["json", "limit", "role", "search"], run: showUsers },
    create: { words: ["EMAIL"], flags: ["name", "role"], run: createUser },
    role: { words: ["ID|EMAIL", "ROLE"], run: giveRole },
    disable: { words: ["ID|EMAIL"], run: disable },
    enable: { words: ["ID|EMAIL"], run: enable },
    "sign-out": { words: ["ID|EMAIL"], run: signOut },
    "reset-link": { words: ["ID|EMAIL"], run: showResetLink },
    "remove-second-factor": { words: ["ID|EMAIL"], run: removeSecondFactor },
  },
  help: `  tokilake users list [--json] [--limit N] [--role ROLE] [--search TEXT]
                                       the newest first
  tokilake users create EMAIL [--name NAME] [--role user|auditor|admin|root]
                                       make an account; stdout has the link for
                                       its password, good for an hour
  tokilake users role ID|EMAIL ROLE    give another role; all sign-ins end
  tokilake users disable ID|EMAIL      keep out, at once; enable lets in again
  tokilake users enable ID|EMAIL
  tokilake users sign-out ID|EMAIL     end all sign-ins
  tokilake users reset-link ID|EMAIL   a link for a new password, on stdout
  tokilake users remove-second-factor ID|EMAIL
                                       for somebody who lost it
`,
});

async function showUsers(asked: AskedForUsers): Promise<void> {
  const { flags } = asked;
  const role = flags.role === undefined ? undefined : roleOf(flags.role);
  await showList(asked, (page) => listUsers(asked, OPERATOR, { role, search: flags.search }, page), {
    headings: ["ID", "E-MAIL", "NAME", "ROLE", "CREATED", "STATUS"],
    rowOf,
    toJson,
    empty: "There are no such users.",
  });
}

async function createUser(asked: AskedForUsers): Promise<void> {
  const { words, flags, output } = asked;
  const [email = ""] = words;
  const role = roleOf(flags.role ?? "user");
  const user = await createUserAs(asked, OPERATOR, { email, name: flags.name ?? "", role });
  await untilNoticed();
  output.stderr(`Made the ${role} ${user.email} (${user.id}). Whoever opens this link chooses the password:\n`);
  output.stdout(`${await resetLinkOf(asked, user)}\n`);
}

async function showResetLink(asked: AskedForUsers): Promise<void> {
  const user = await named(asked);
  const link = await resetLinkOf(asked, user);
  asked.output.stderr(`Whoever opens this link within an hour chooses a new password for ${user.email}:\n`);
  asked.output.stdout(`${link}\n`);
}

async function resetLinkOf(asked: AskedForUsers, user: UserRecord): Promise<string> {
  // Loaded here: mail, providers and passkeys take longer than the command.
  const { accessServices } = await import("../hub-services.ts");
  await using access = accessServices(asked.config, { ...asked, log: new SilentLog() });
  const { link = "" } = await sendResetLink(access.accounts, OPERATOR, user.id);
  return link;
}

async function giveRole(asked: AskedForUsers): Promise<void> {
  const role = roleOf(asked.words[1] ?? "");
  const user = await named(asked);
  await changeRole(asked, OPERATOR, { id: user.id, role, version: undefined });
  await tellDone(asked, `${user.email} has the role ${role} now.`);
}

async function disable(asked: AskedForUsers): Promise<void> {
  const user = await named(asked);
  await disableUser(asked, OPERATOR, { id: user.id, version: undefined });
  await tellDone(asked, `${user.email} is disabled.`);
}

async function enable(asked: AskedForUsers): Promise<void> {
  const user = await named(asked);
  await enableUser(asked, OPERATOR, { id: user.id, version: undefined });
  await tellDone(asked, `${user.email} is enabled.`);
}

async function signOut(asked: AskedForUsers): Promise<void> {
  const user = await named(asked);
  const ended = await endSignInsAs(asked, OPERATOR, user.id);
  await tellDone(asked, `${user.email} was signed out on ${ended} ${ended === 1 ? "device" : "devices"}.`);
}

async function removeSecondFactor(asked: AskedForUsers): Promise<void> {
  const user = await named(asked);
  await removeSecondFactorAs(asked, OPERATOR, user.id);
  await tellDone(asked, `${user.email} signs in without a second factor now.`);
}

function named(asked: AskedForUsers): Promise<UserRecord> {
  return namedUser(asked, asked.words[0] ?? "");
}

function roleOf(text: string): UserRole {
  const role = ROLES.find((each) => each === text);
  if (role !== undefined) return role;
  throw new UsageError(`A role is one of ${ROLES.join(", ")}, not ${JSON.stringify(text)}`);
}

function rowOf(user: UserRecord): string[] {
  const status = user.disabledAtMs !== undefined ? "disabled" : user.hasSecondFactor ? "second factor" : "active";
  return [user.id, user.email, shownText(user.name), user.role, shownTime(user.createdAtMs), status];
}

/** `null` for what is not known: others read this. */
function toJson(user: UserRecord): object {
  const { id, email, name, role, hasPassword, hasSecondFactor, createdAtMs, emailVerifiedAtMs, disabledAtMs } = user;
  return {
    id,
    email,
    name,
    role,
    hasPassword,
    hasSecondFactor,
    createdAtMs,
    emailVerifiedAtMs: emailVerifiedAtMs ?? null,
    disabledAtMs: disabledAtMs ?? null,
  };
}
