import {
  ClientSecretPost,
  Configuration,
  None,
  allowInsecureRequests,
  authorizationCodeGrant,
  buildAuthorizationUrl,
  discovery,
  fetchProtectedResource,
  fetchUserInfo,
} from "openid-client";
import * as z from "zod";

import { plainOf } from "../plain-text.ts";
import type { ProviderSettings } from "../provider-config.ts";
import { normaliseEmail } from "./email.ts";

/** Somebody who has shown a provider who he is. */
export interface ProviderPerson {
  /** The provider's id of the account, which never changes and is never given to another. */
  readonly subject: string;
  /** Normalised; undefined: the provider names no address, or has not verified it. */
  readonly verifiedEmail: string | undefined;
  readonly name: string;
}

/** What binds a person's way to the provider and back to one browser. */
export interface ProviderChecks {
  readonly state: string;
  readonly nonce: string;
  /** PKCE (RFC 7636). */
  readonly verifier: string;
}

export interface Provider {
  readonly name: string;
  readonly label: string;
  /** Where to send the browser. Rejects when the provider does not answer. */
  authorizationUrl(request: {
    readonly redirectUri: string;
    readonly state: string;
    readonly nonce: string;
    readonly challenge: string;
  }): Promise<URL>;
  /** Who came back. @param callback The address with what the provider added to it. Rejects when anything is not right. */
  person(callback: URL, checks: ProviderChecks): Promise<ProviderPerson>;
}

/** How long a provider may take for each answer. */
const TIMEOUT_SECONDS = 10;

export function openProvider(settings: ProviderSettings): Provider {
  return settings.name === "github" ? githubProvider(settings) : oidcProvider(settings);
}

/** OpenID Connect: the provider says all about itself (Discovery 1.0) and signs who it is (ID token). */
function oidcProvider(settings: ProviderSettings): Provider {
  const { name, label, issuer, clientId, clientSecret } = settings;
  // The address it published, asked for when somebody first needs it: the hub starts without it.
  let known: Promise<Configuration> | undefined;
  const configuration = (): Promise<Configuration> => {
    known ??= discovery(new URL(issuer), clientId, undefined, authenticationOf(clientSecret), {
      timeout: TIMEOUT_SECONDS,
      execute: isPlain(issuer) ? [allowInsecureRequests] : [],
    }).catch((thrown: unknown) => {
      known = undefined;
      throw thrown;
    });
    return known;
  };
  return {
    name,
    label,
    authorizationUrl: async ({ redirectUri, state, nonce, challenge }) =>
      buildAuthorizationUrl(await configuration(), {
        redirect_uri: redirectUri,
        scope: "openid email profile",
        state,
        nonce,
        code_challenge: challenge,
        code_challenge_method: "S256",
      }),
    person: async (callback, { state, nonce, verifier }) => {
      const server = await configuration();
      const tokens = await authorizationCodeGrant(server, callback, {
        expectedState: state,
        expectedNonce: nonce,
        pkceCodeVerifier: verifier,
        idTokenExpected: true,
      });
      const claims = CLAIMS.parse(tokens.claims());
      if (claims.email !== undefined) return toPerson(claims);
      // Some say who it is in the ID token, and everything else only here.
      const more = await fetchUserInfo(server, tokens.access_token, claims.sub);
      return toPerson(CLAIMS.parse(more));
    },
  };
}

const CLAIMS = z.looseObject({
  sub: z.string().min(1).max(255),
  email: z.string().exactOptional(),
  /** Some send it as text. */
  email_verified: z.union([z.boolean(), z.string()]).exactOptional(),
  name: z.string().exactOptional(),
});

function toPerson({ sub, email, email_verified: isVerified, name }: z.infer<typeof CLAIMS>): ProviderPerson {
  const isTrue = isVerified === true || isVerified === "true";
  return { subject: sub, verifiedEmail: isTrue ? readEmail(email) : undefined, name: nameOf(name ?? "") };
}

/** Others see the name, and it came from whoever has the account. */
function nameOf(given: string): string {
  return plainOf(given).slice(0, 100).toWellFormed();
}

/** OAuth 2.0 and an API of its own: an account has several addresses, and only the API says which of them is verified. */
function githubProvider({ name, label, issuer, clientId, clientSecret }: ProviderSettings): Provider {
  const base = issuer.replace(/\/$/, "");
  const api = base === "https://github.com" ? "https://api.github.com" : `${base}/api/v3`;
  const server = new Configuration(
    {
      issuer: base,
      authorization_endpoint: `${base}/login/oauth/authorize`,
      token_endpoint: `${base}/login/oauth/access_token`,
    },
    clientId,
    undefined,
    authenticationOf(clientSecret),
  );
  server.timeout = TIMEOUT_SECONDS;
  if (isPlain(issuer)) allowInsecureRequests(server);
  const ask = async <T extends z.ZodType>(path: string, token: string, schema: T): Promise<z.infer<T>> => {
    const headers = new Headers({ accept: "application/vnd.github+json" });
    const answer = await fetchProtectedResource(server, token, new URL(`${api}${path}`), "GET", null, headers);
    if (!answer.ok) throw new Error(`GitHub's ${path} answered ${answer.status}`);
    return schema.parse(await answer.json());
  };
  return {
    name,
    label,
    authorizationUrl: ({ redirectUri, state, challenge }) =>
      Promise.resolve(
        buildAuthorizationUrl(server, {
          redirect_uri: redirectUri,
          scope: "read:user user:email",
          state,
          code_challenge: challenge,
          code_challenge_method: "S256",
        }),
      ),
    person: async (callback, { state, verifier }) => {
      const tokens = await authorizationCodeGrant(server, callback, {
        expectedState: state,
        pkceCodeVerifier: verifier,
      });
      const user = await ask("/user", tokens.access_token, GITHUB_USER);
      const emails = await ask("/user/emails", tokens.access_token, GITHUB_EMAILS);
      const primary = emails.find(({ primary: isPrimary, verified }) => isPrimary && verified);
      return {
        // The number, not the login: that can be given up, and taken by somebody else.
        subject: String(user.id),
        verifiedEmail: readEmail(primary?.email),
        name: nameOf(user.name ?? user.login),
      };
    },
  };
}

const GITHUB_USER = z.looseObject({ id: z.int(), login: z.string(), name: z.string().nullish() });
const GITHUB_EMAILS = z.array(z.looseObject({ email: z.string(), primary: z.boolean(), verified: z.boolean() }));

function authenticationOf(secret: string | undefined): ReturnType<typeof None> {
  return secret === undefined ? None() : ClientSecretPost(secret);
}

/** The settings let `http:` through on this machine only. */
function isPlain(issuer: string): boolean {
  return issuer.startsWith("http:");
}

/** An address that we do not take as one is like none. */
function readEmail(given: string | undefined): string | undefined {
  if (given === undefined) return undefined;
  try {
    return normaliseEmail(given);
  } catch {
    return undefined;
  }
}
