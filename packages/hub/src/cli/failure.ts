import { ConfigError } from "../config.ts";
import { AppError } from "../errors.ts";
import { StoreError } from "../store/store-error.ts";
import { CommandError, UsageError } from "./cli-error.ts";

export interface Failure {
  /** For stderr. */
  readonly text: string;
  readonly exitCode: 1 | 2;
}

/** What a command calls a field of the services that it uses: who reads a refusal typed this. */
const TYPED_AS: Readonly<Record<string, string>> = {
  expires_at_ms: "--expires",
  group_id: "--group",
  owner_id: "--owner",
  max_uses: "--uses",
  user_id: "USER",
  slug: "SLUG",
  ...Object.fromEntries(["name", "note", "role", "models"].map((field) => [field, `--${field}`])),
};

/** What a person sees of `thrown`: one line with the next step. Only a fault of ours shows its stack. */
export function failureOf(thrown: unknown): Failure {
  if (thrown instanceof UsageError) return { text: `tokilake: ${thrown.message}. Try: tokilake --help\n`, exitCode: 2 };
  if (thrown instanceof ConfigError) return { text: `tokilake: ${thrown.message}\n`, exitCode: 2 };
  if (thrown instanceof StoreError || thrown instanceof CommandError) {
    return { text: `tokilake: ${thrown.message.replace(/\.$/, "")}.\n`, exitCode: 1 };
  }
  // What a service refused; it is written for people.
  if (thrown instanceof AppError && thrown.code !== "internal")
    return { text: `tokilake: ${asTyped(thrown.message)}\n`, exitCode: 1 };
  const stack = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
  return { text: `tokilake: this is a fault in tokilake itself, please report it:\n${stack}\n`, exitCode: 1 };
}

/** Refusals begin with the field at fault, and name several with a semicolon between them. */
function asTyped(message: string): string {
  return message.replaceAll(/(^|; )(\w+):/g, (whole, before: string, field: string) => {
    const typed = Object.hasOwn(TYPED_AS, field) ? TYPED_AS[field] : undefined;
    return typed === undefined ? whole : `${before}${typed}:`;
  });
}
