import * as z from "zod";

/** Another service that people sign in with, as the operator set it up. */
export interface ProviderSettings {
  /** In addresses and settings: small letters, digits, hyphens. `github` is GitHub or a GitHub Enterprise server. */
  readonly name: string;
  /** For people. */
  readonly label: string;
  /** `https:`; `http:` on this machine only. */
  readonly issuer: string;
  readonly clientId: string;
  /** undefined: a public client. */
  readonly clientSecret: string | undefined;
}

const MAX_PROVIDERS = 20;

const ISSUER = z.string().refine(isSafeIssuer, "must be an https address");
const NAME = z.string().regex(/^[a-z0-9]+(-[a-z0-9]+)*$/, "must have small letters, digits and hyphens");
const TEXT = z.string().min(1).max(1000);
const PROVIDER = z.strictObject({
  issuer: ISSUER.exactOptional(),
  clientId: TEXT.exactOptional(),
  clientSecret: TEXT.exactOptional(),
  label: TEXT.exactOptional(),
});

/** `providers` of `tokilake.json`, by name. */
export const PROVIDERS = z.record(NAME, PROVIDER);

type GivenProvider = z.infer<typeof PROVIDER>;

const VARIABLE = /^TOKILAKE_OIDC_([A-Z0-9]+(?:_[A-Z0-9]+)*?)_(ISSUER|CLIENT_ID|CLIENT_SECRET|LABEL)$/;
const FIELDS = { ISSUER: "issuer", CLIENT_ID: "clientId", CLIENT_SECRET: "clientSecret", LABEL: "label" } as const;

const WELL_KNOWN: Readonly<Record<string, { readonly issuer: string; readonly label: string }>> = {
  github: { issuer: "https://github.com", label: "GitHub" },
  google: { issuer: "https://accounts.google.com", label: "Google" },
};

/** Whether a variable sets up a provider: `TOKILAKE_OIDC_`, a name, and what of it. */
export function isProviderVariable(name: string): boolean {
  return VARIABLE.test(name);
}

/**
 * The providers of the file and the environment, which wins. GitHub and Google are known; of others it must be said where they are.
 *
 * @param mistakes Gets a line for each, without values: they may be secrets.
 */
export function providersOf(
  env: Readonly<Record<string, string | undefined>>,
  file: Readonly<Record<string, GivenProvider>> | undefined,
  mistakes: string[],
): readonly ProviderSettings[] {
  const given = new Map<string, GivenProvider>(Object.entries(file ?? {}));
  for (const [variable, value] of Object.entries(env)) {
    const [, name = "", field] = VARIABLE.exec(variable) ?? [];
    if (field === undefined || value === undefined || value === "") continue;
    const key = name.toLowerCase().replaceAll("_", "-");
    // One of the four that the pattern names.
    given.set(key, { ...given.get(key), [FIELDS[field as keyof typeof FIELDS]]: value });
  }
  if (given.size > MAX_PROVIDERS) mistakes.push(`  there are more than ${MAX_PROVIDERS} sign-in providers`);
  return [...given].flatMap(([name, each]) => providerOf(name, each, mistakes) ?? []);
}

function providerOf(name: string, given: GivenProvider, mistakes: string[]): ProviderSettings | undefined {
  const known = Object.hasOwn(WELL_KNOWN, name) ? WELL_KNOWN[name] : undefined;
  const issuer = given.issuer ?? known?.issuer;
  const variable = `TOKILAKE_OIDC_${name.toUpperCase().replaceAll("-", "_")}`;
  if (issuer === undefined || !isSafeIssuer(issuer)) mistakes.push(`  ${variable}_ISSUER must be an https address`);
  if (given.clientId === undefined) mistakes.push(`  ${variable}_CLIENT_ID is missing`);
  if (issuer === undefined || given.clientId === undefined) return undefined;
  const label = given.label ?? known?.label ?? `${name.charAt(0).toUpperCase()}${name.slice(1)}`;
  return { name, label, issuer, clientId: given.clientId, clientSecret: given.clientSecret };
}

/** What goes over a network must be encrypted; a provider on this machine is for tests. */
function isSafeIssuer(issuer: string): boolean {
  if (!URL.canParse(issuer)) return false;
  const { protocol, hostname } = new URL(issuer);
  return protocol === "https:" || (protocol === "http:" && /^(localhost|127\.[\d.]+|\[::1\])$/.test(hostname));
}
