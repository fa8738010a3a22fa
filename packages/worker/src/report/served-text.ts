import { plural } from "../table.ts";
import type { Served, ServedGroup } from "./served.ts";

/** Names of models in one line. */
const MAX_NAMES = 3;

/** Why models are not served in a group, and what to do. */
const MODEL_REASONS: Readonly<Record<string, string>> = {
  taken:
    "somebody else keeps the name there; publish another name (model_targets), or ask the group's owner to let you serve this one",
  "too-many": "you keep as many names there as one may; publish fewer models",
  misleading:
    "the name has characters that do not show, or that look like others; publish another name (model_targets)",
  "not-allowed-by-key": "the worker key is for other models; change the key at the hub",
};

/** Why nothing is served in a group, and what to do. */
const GROUP_REASONS: Readonly<Record<string, string>> = {
  "not-allowed": "not a group that this key may serve into; check the name, or ask its owner for an invite as provider",
  "not-allowed-by-key": "the worker key is for other groups; change the key at the hub",
  "not-a-provider": "you are a member there and no provider; ask the group's owner to make you one",
  "not-approved": "a public group; ask at the hub to serve there, and wait until that is approved",
};

const NOWHERE =
  "anything (the key's owner serves in no group; make a group, or take an invite as provider with tokiame join LINK)";

/** "3 models in friends" for each group where something is served, or would be. */
export function servedTexts({ groups, more = 0 }: Served): readonly string[] {
  const texts = groups.flatMap((each) => ("served" in each ? `${plural(each.served, "model")} in ${each.group}` : []));
  return more > 0 ? [...texts, `${plural(more, "other group")} that the hub does not list`] : texts;
}

/** "llama3:8b in friends", with the reason and what to do, for all that is not served; none when all is. */
export function refusedTexts({ groups }: Served): readonly string[] {
  return groups.length === 0 ? [NOWHERE] : groups.flatMap(refusedIn);
}

function refusedIn(each: ServedGroup): readonly string[] {
  if ("why" in each) return [`anything in ${each.group} (${GROUP_REASONS[each.why] ?? each.why})`];
  return each.refused.map(
    ({ why, count, models }) => `${named(models, count)} in ${each.group} (${MODEL_REASONS[why] ?? why})`,
  );
}

function named(models: readonly string[], count: number): string {
  const shown = models.slice(0, MAX_NAMES);
  if (shown.length === 0) return plural(count, "model");
  return count > shown.length ? `${shown.join(", ")} and ${count - shown.length} more` : shown.join(", ");
}
