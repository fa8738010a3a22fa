import { createInvite, listInvites, listInviteUses, revokeInvite, type ShownInvite } from "../groups/invites.ts";
import { OPERATOR } from "../identity/actor.ts";
import type { InviteRole } from "../store/invite-store.ts";
import { UsageError } from "./cli-error.ts";
import { groupsOf, namedGroup } from "./command-groups.ts";
import { type Asked, noun } from "./command.ts";
import { expiryOf, shownText, shownTime, wholeNumberOf } from "./flag-values.ts";
import { showList } from "./show-list.ts";

const FLAGS = {
  group: { type: "string" },
  role: { type: "string" },
  uses: { type: "string" },
  expires: { type: "string" },
  note: { type: "string" },
  limit: { type: "string" },
  json: { type: "boolean" },
} as const;

type AskedForInvites = Asked<typeof FLAGS>;

/** `tokilake invites …` */
export const INVITES = noun({
  flags: FLAGS,
  commands: {
    create: { flags: ["group", "role", "uses", "expires", "note"], run: create },
    list: { flags: ["group", "json", "limit"], run: show },
    uses: { words: ["ID"], flags: ["json", "limit"], run: showUses },
    revoke: { words: ["ID"], run: revoke },
  },
  help: `  tokilake invites create [--group GROUP] [--role provider|member] [--uses N]
      [--expires 30d|DATE] [--note TEXT]
                                       make an invite, to the hub if no group;
                                       stdout has only the link
  tokilake invites list [--group GROUP] [--json] [--limit N]
                                       the newest first
  tokilake invites uses ID             who used it
  tokilake invites revoke ID           end it; who joined with it stays
`,
});

async function create(asked: AskedForInvites): Promise<void> {
  const { flags, output } = asked;
  const group = flags.group === undefined ? undefined : await namedGroup(asked, flags.group);
  const { invite, code, link } = await createInvite(groupsOf(asked), OPERATOR, {
    groupId: group?.id,
    role: roleOf(flags.role ?? "member"),
    maxUses: flags.uses === undefined ? 1 : wholeNumberOf("uses", flags.uses),
    expiresAtMs: expiryOf(flags.expires, asked.now()),
    note: flags.note,
  });
  const uses = invite.maxUses === 1 ? "once" : `${invite.maxUses} times`;
  const where = group === undefined ? "to the hub" : `into ${group.slug} as ${invite.role}`;
  output.stderr(`Made an invite ${where}, good ${uses} (${invite.id}). Its code, shown only this once: ${code}\n`);
  if (asked.config.publicUrl === undefined) {
    output.stderr(
      "The link opens on this machine alone; TOKILAKE_PUBLIC_URL says where people elsewhere reach the hub.\n",
    );
  }
  output.stdout(`${link}\n`);
}

async function show(asked: AskedForInvites): Promise<void> {
  const { flags } = asked;
  const group = flags.group === undefined ? undefined : await namedGroup(asked, flags.group);
  const where = group === undefined ? "to the hub alone; name a group with --group" : `into ${group.slug}`;
  await showList(asked, (page) => listInvites(groupsOf(asked), OPERATOR, group?.id, page), {
    headings: ["ID", "CODE", "ROLE", "USES", "STATE", "EXPIRES", "NOTE"],
    rowOf,
    toJson,
    empty: `There are no invites ${where}.`,
  });
}

async function showUses(asked: AskedForInvites): Promise<void> {
  await showList(asked, (page) => listInviteUses(groupsOf(asked), OPERATOR, asked.words[0] ?? "", page), {
    headings: ["ID", "E-MAIL", "NAME", "USED"],
    rowOf: ({ userId, email, name, usedAtMs }) => [userId, email, shownText(name), shownTime(usedAtMs)],
    toJson: (use) => use,
    empty: "Nobody used it.",
  });
}

/** Revoking an invite twice is not a mistake: a script may be run again. */
async function revoke(asked: AskedForInvites): Promise<void> {
  const { id, prefix, uses } = await revokeInvite(groupsOf(asked), OPERATOR, asked.words[0] ?? "");
  asked.output.stderr(
    `Revoked the invite ${prefix}… (${id}), which was used ${uses === 1 ? "once" : `${uses} times`}.\n`,
  );
}

function roleOf(text: string): InviteRole {
  if (text === "provider" || text === "member") return text;
  throw new UsageError(`--role is provider or member, not ${JSON.stringify(text)}`);
}

function rowOf({ id, prefix, role, uses, maxUses, state, expiresAtMs, note }: ShownInvite): string[] {
  const expires = expiresAtMs === undefined ? "never" : shownTime(expiresAtMs);
  return [id, `${prefix}…`, role, `${uses}/${maxUses}`, state, expires, shownText(note)];
}

/** `null` for what is not known: others read this. */
function toJson(invite: ShownInvite): object {
  const { id, groupId, role, prefix, state, uses, maxUses, note, createdBy, createdAtMs, expiresAtMs } = invite;
  return {
    id,
    groupId: groupId ?? null,
    role,
    prefix,
    state,
    uses,
    maxUses,
    note,
    createdBy: createdBy ?? null,
    createdAtMs,
    expiresAtMs: expiresAtMs ?? null,
  };
}
