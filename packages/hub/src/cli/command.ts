import type { HubConfig } from "../config.ts";
import type { Database } from "../store/database.ts";

/** Where a command writes. stdout carries only what a script wants, stderr what people read. */
export interface Output {
  stdout(text: string): void;
  stderr(text: string): void;
}

/** Flags as `node:util` parses them. */
export type FlagTypes = Readonly<Record<string, { readonly type: "string" | "boolean" }>>;

/** What was given of them; undefined: it was not. */
export type FlagValues<F extends FlagTypes> = {
  readonly [Name in keyof F]?: (F[Name]["type"] extends "boolean" ? boolean : string) | undefined;
};

/** What a command is run with. The database is opened before, and closed after. */
export interface Asked<F extends FlagTypes> {
  /** The words behind the command, as many as it names. */
  readonly words: readonly string[];
  readonly flags: FlagValues<F>;
  readonly database: Database;
  readonly config: HubConfig;
  /** Epoch milliseconds. */
  readonly now: () => number;
  readonly output: Output;
}

export interface Command<F extends FlagTypes> {
  /** What the words behind it are, such as `ID|NAME`; all of them must be given. */
  readonly words?: readonly string[];
  readonly flags?: readonly (keyof F & string)[];
  run(asked: Asked<F>): Promise<void>;
}

/** A word of the command line, such as `keys`, and what can be done with it: one file each. */
export interface Noun<F extends FlagTypes = FlagTypes> {
  readonly flags: F;
  /** By their verbs. */
  readonly commands: Readonly<Record<string, Command<F>>>;
  /** Its part of `tokilake --help`, with a line break at the end. */
  readonly help: string;
}

/** A noun whose commands know the types of its flags. */
export function noun<const F extends FlagTypes>(definition: Noun<F>): Noun {
  // The flags that a command is given are those of its own noun: cli.ts parses by them.
  return definition as unknown as Noun;
}
