import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import * as z from "zod";

import { Stop } from "../exit-code.ts";

/** A configuration file that a worker's key is to be written to. */
export interface ConfigToJoin {
  readonly path: string;
  /** What is in it now; empty when there is no file. */
  readonly values: Readonly<Record<string, unknown>>;
}

const VALUES = z.record(z.string(), z.unknown());

/**
 * The file, as long as it holds no key yet: another hub's must not be lost.
 *
 * @throws Stop "config"
 */
export function configToJoin(options: {
  readonly named: string | undefined;
  readonly env: NodeJS.ProcessEnv;
  readonly home: string;
}): ConfigToJoin {
  const { named, env, home } = options;
  const path = named ?? (env["TOKIAME_CONFIG"]?.trim() || join(home, ".tokilake", "tokiame.json"));
  const values = valuesIn(path);
  if (values["token"] !== undefined) {
    throw new Stop(
      "config",
      `${path} has a token already; to join another hub, name another file with --config, or take the token out`,
    );
  }
  return { path, values };
}

/**
 * Writes the file anew with these keys besides those it has, readable by this user alone. All or nothing.
 *
 * @throws Stop "config"
 */
export function writeJoined(config: ConfigToJoin, joined: Readonly<Record<string, string>>): void {
  const { path, values } = config;
  const temporary = `${path}.${randomBytes(6).toString("hex")}`;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    writeFileSync(temporary, `${JSON.stringify({ ...values, ...joined }, null, 2)}\n`, { mode: 0o600, flag: "wx" });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw new Stop("config", `${path} cannot be written (${reasonOf(error)})`);
  }
}

function valuesIn(path: string): Readonly<Record<string, unknown>> {
  try {
    return VALUES.parse(JSON.parse(readFileSync(path, "utf8")));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return {};
    const isJson = !(error instanceof SyntaxError || error instanceof z.ZodError);
    throw new Stop("config", `${path} ${isJson ? `cannot be read (${reasonOf(error)})` : "is not a JSON object"}`);
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}
