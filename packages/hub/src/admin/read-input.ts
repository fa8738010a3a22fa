import type * as z from "zod";

import { AppError } from "../errors.ts";

/** So many problems are named in one message. */
const MAX_NAMED = 10;

/**
 * What a schema makes of outside data.
 *
 * @param where What is looked at, for the message when no field is to blame: "The body".
 * @throws AppError `invalid_request` or `missing_required_parameter`, naming every problem by its field.
 */
export function parseInput(schema: z.ZodType, value: unknown, where: string): unknown {
  const parsed = schema.safeParse(value, { reportInput: true });
  if (parsed.success) {
    checkTexts(parsed.data, where);
    return parsed.data;
  }
  const problems = parsed.error.issues.flatMap((issue) => problemsOf(issue));
  const [first] = problems;
  const named = problems.slice(0, MAX_NAMED).map(({ field, text }) => `${field === "" ? where : field}: ${text}`);
  if (problems.length > MAX_NAMED) named.push(`and ${problems.length - MAX_NAMED} more`);
  const code = problems.every(({ isMissing }) => isMissing) ? "missing_required_parameter" : "invalid_request";
  throw new AppError(code, `${named.join("; ")}.`, { param: first?.field === "" ? undefined : first?.field });
}

/**
 * A text with U+0000, which PostgreSQL takes in no column and no comparison, or with half a character, which no database gives
 * back as it was, is a mistake wherever it stands.
 *
 * @param input As a schema left it, so it nests no deeper than one says.
 */
function checkTexts(input: unknown, where: string, field = ""): void {
  if (typeof input === "string") checkText(input, where, field);
  if (typeof input !== "object" || input === null) return;
  for (const [key, value] of Object.entries(input)) {
    const path = field === "" ? key.toWellFormed() : `${field}.${key.toWellFormed()}`;
    checkTexts(value, where, path);
    checkText(key, where, path);
  }
}

function checkText(text: string, where: string, field: string): void {
  if (text.isWellFormed() && !text.includes("\0")) return;
  const message = `${field === "" ? where : field}: must be whole characters, none of them U+0000.`;
  throw new AppError("invalid_request", message, { param: field === "" ? undefined : field });
}

interface Problem {
  /** As a path: `limits.requestsPerMinute`; "" for the whole. */
  readonly field: string;
  readonly text: string;
  readonly isMissing: boolean;
}

function problemsOf(issue: z.core.$ZodIssue): Problem[] {
  const path = issue.path.map(String);
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => ({
      field: [...path, key].join("."),
      text: "there is no such field",
      isMissing: false,
    }));
  }
  const isMissing = issue.code === "invalid_type" && issue.input === undefined;
  const text = isMissing ? "is missing" : lowerFirst(issue.message);
  return [{ field: path.join("."), text, isMissing }];
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
