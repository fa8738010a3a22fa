import { deleteGroup, previewDeletion } from "../groups/delete-group.ts";
import type { Standing } from "../groups/group-access.ts";
import { createGroup, listGroups, transferGroup, updateGroup } from "../groups/groups.ts";
import {
  banMember,
  grantMembership,
  listMembers,
  removeMember,
  type ShownMember,
  unbanMember,
} from "../groups/members.ts";
import { OPERATOR } from "../identity/actor.ts";
import type { InviteRole } from "../store/invite-store.ts";
import { UsageError } from "./cli-error.ts";
import { groupsOf, namedGroup, namedUser } from "./command-groups.ts";
import { type Asked, noun } from "./command.ts";
import { expiryOf, shownText, shownTime } from "./flag-values.ts";
import { showList } from "./show-list.ts";
import { tellDone, untilNoticed } from "./until-noticed.ts";

const FLAGS = {
  name: { type: "string" },
  owner: { type: "string" },
  public: { type: "boolean" },
  role: { type: "string" },
  expires: { type: "string" },
  yes: { type: "boolean" },
  limit: { type: "string" },
  json: { type: "boolean" },
} as const;

type AskedForGroups = Asked<typeof FLAGS>;

/** `tokilake groups …` */
export const GROUPS = noun({
  flags: FLAGS,
  commands: {
    list: { flags: ["json", "limit"], run: showGroups },
    create: { words: ["SLUG"], flags: ["name", "owner", "public"], run: create },
    rename: { words: ["GROUP", "SLUG"], run: rename },
    delete: { words: ["GROUP"], flags: ["yes"], run: remove },
    transfer: { words: ["GROUP", "USER"], run: transfer },
    members: { words: ["GROUP"], flags: ["json", "limit"], run: showMembers },
    add: { words: ["GROUP", "USER"], flags: ["role", "expires"], run: add },
    remove: { words: ["GROUP", "USER"], run: removeOne },
    ban: { words: ["GROUP", "USER"], run: ban },
    unban: { words: ["GROUP", "USER"], run: unban },
  },
  help: `  tokilake groups list [--json] [--limit N]
                                       the newest first
  tokilake groups create SLUG [--name NAME] [--owner EMAIL | --public]
                                       make a group, without --owner your own
  tokilake groups rename GROUP SLUG    by its slug or id; its keys go on working
  tokilake groups delete GROUP [--yes] shows what would break; --yes does it
  tokilake groups transfer GROUP USER  give it to one of its members
  tokilake groups members GROUP [--json] [--limit N]
  tokilake groups add GROUP USER [--role provider|member] [--expires 30d|DATE]
                                       the operator's groups: may serve there
  tokilake groups remove GROUP USER    comes back with a newer invite
  tokilake groups ban GROUP USER       comes back with none; unban lifts that
  tokilake groups unban GROUP USER
`,
});

async function showGroups(asked: AskedForGroups): Promise<void> {
  await showList(asked, (page) => listGroups(groupsOf(asked), OPERATOR, { all: true }, page), {
    headings: ["ID", "SLUG", "NAME", "KIND", "OWNER", "CREATED"],
    rowOf,
    toJson,
    empty: "There are no groups.",
  });
}

async function create(asked: AskedForGroups): Promise<void> {
  const { words, flags, output } = asked;
  const [slug = ""] = words;
  if (flags.public === true && flags.owner !== undefined) {
    throw new UsageError("--public and --owner do not go together: a public group is the operator's");
  }
  const owner = flags.owner === undefined ? undefined : await namedUser(asked, flags.owner);
  const group = await createGroup(groupsOf(asked), OPERATOR, {
    kind: flags.public === true ? "public" : "private",
    slug,
    name: flags.name ?? slug,
    ownerId: owner?.id,
  });
  await untilNoticed();
  output.stderr(`Made the ${group.kind} group ${slug} of ${owner?.email ?? "the operator"}.\n`);
  output.stdout(`${group.id}\n`);
}

async function rename(asked: AskedForGroups): Promise<void> {
  const group = await namedGroup(asked);
  const slug = asked.words[1] ?? "";
  await updateGroup(groupsOf(asked), OPERATOR, { groupId: group.id, version: undefined, patch: { slug } });
  await tellDone(asked, `${group.slug} is called ${slug} now.`);
}

async function remove(asked: AskedForGroups): Promise<void> {
  const { flags, output } = asked;
  const deps = groupsOf(asked);
  const { id, slug } = await namedGroup(asked);
  if (flags.yes !== true) {
    const { keys, members, invites } = await previewDeletion(deps, OPERATOR, id);
    output.stderr(
      `Deleting ${slug} ends ${counted(keys, "API key")} and ${counted(invites, "invite")}, and takes the group from ` +
        `${counted(members, "member")} and all workers that serve it. Nothing brings it back. ` +
        `To do it: tokilake groups delete ${slug} --yes\n`,
    );
    return;
  }
  await deleteGroup(deps, OPERATOR, { groupId: id, version: undefined });
  await tellDone(asked, `Deleted the group ${slug} (${id}).`);
}

async function transfer(asked: AskedForGroups): Promise<void> {
  const [group, user] = [await namedGroup(asked), await namedUser(asked)];
  await transferGroup(groupsOf(asked), OPERATOR, { groupId: group.id, version: undefined, userId: user.id });
  await tellDone(asked, `${group.slug} belongs to ${user.email} now.`);
}

async function showMembers(asked: AskedForGroups): Promise<void> {
  const group = await namedGroup(asked);
  await showList(asked, (page) => listMembers(groupsOf(asked), OPERATOR, group.id, page), {
    headings: ["ID", "E-MAIL", "NAME", "ROLE", "STATUS", "EXPIRES"],
    rowOf: memberRowOf,
    toJson: toMemberJson,
    empty: `${group.slug} has no members.`,
  });
}

async function add(asked: AskedForGroups): Promise<void> {
  const { flags } = asked;
  const role = roleOf(flags.role ?? "member");
  const [group, user] = [await namedGroup(asked), await namedUser(asked)];
  const expiresAtMs = expiryOf(flags.expires, asked.now());
  await grantMembership(groupsOf(asked), OPERATOR, { groupId: group.id, userId: user.id, role, expiresAtMs });
  await tellDone(asked, `${user.email} is a ${role} of ${group.slug} now.`);
}

async function removeOne(asked: AskedForGroups): Promise<void> {
  const [group, user] = [await namedGroup(asked), await namedUser(asked)];
  await removeMember(groupsOf(asked), OPERATOR, { groupId: group.id, userId: user.id });
  await tellDone(asked, `${user.email} was removed from ${group.slug}.`);
}

async function ban(asked: AskedForGroups): Promise<void> {
  const [group, user] = [await namedGroup(asked), await namedUser(asked)];
  await banMember(groupsOf(asked), OPERATOR, { groupId: group.id, userId: user.id });
  await tellDone(asked, `${user.email} is banned from ${group.slug}.`);
}

async function unban(asked: AskedForGroups): Promise<void> {
  const [group, user] = [await namedGroup(asked), await namedUser(asked)];
  await unbanMember(groupsOf(asked), OPERATOR, { groupId: group.id, userId: user.id });
  await tellDone(asked, `${user.email} may come back to ${group.slug}, with a new invite.`);
}

function roleOf(text: string): InviteRole {
  if (text === "provider" || text === "member") return text;
  throw new UsageError(`--role is provider or member, not ${JSON.stringify(text)}`);
}

function rowOf({ group }: Standing): string[] {
  // The operator's own group comes with the database, whose schema names no time.
  const { id, slug, name, kind, ownerId, createdAtMs } = group;
  return [
    id,
    slug,
    shownText(name),
    kind,
    ownerId ?? "operator",
    createdAtMs === 0 ? "first start" : shownTime(createdAtMs),
  ];
}

function counted(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? "" : "s"}`;
}

function memberRowOf(member: ShownMember): string[] {
  const { userId, email = "", name, role, status, expiresAtMs } = member;
  return [userId, email, shownText(name), role, status, expiresAtMs === undefined ? "never" : shownTime(expiresAtMs)];
}

/** `null` for what is not known: others read this. */
function toJson({ group }: Standing): object {
  const { id, slug, name, description, kind, ownerId, memberLimits, createdAtMs } = group;
  return { id, slug, name, description, kind, ownerId: ownerId ?? null, memberLimits, createdAtMs };
}

function toMemberJson(member: ShownMember): object {
  const { userId, email, name, role, status, expiresAtMs, limits, joinedAtMs } = member;
  return { userId, email, name, role, status, expiresAtMs: expiresAtMs ?? null, limits: limits ?? null, joinedAtMs };
}
