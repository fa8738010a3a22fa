import type { AccountsDeps } from "./accounts/accounts.ts";
import { loadHubSecret } from "./accounts/hub-secret.ts";
import { logPostman, Outbox, smtpPostman } from "./accounts/outbox.ts";
import { PasswordHasher } from "./accounts/password-hasher.ts";
import { openProvider } from "./accounts/provider.ts";
import { PublicUrl } from "./accounts/public-url.ts";
import { Tries } from "./accounts/tries.ts";
import type { HubConfig } from "./config.ts";
import type { DeviceJoinDeps } from "./groups/device-joins.ts";
import { Guesses } from "./groups/guesses.ts";
import { inviteDesk } from "./groups/invite-desk.ts";
import { PollPace } from "./groups/poll-pace.ts";
import type { KeysDeps } from "./identity/keys.ts";
import type { Log } from "./observe/log.ts";
import type { Database } from "./store/database.ts";

/** What services about people work with, in a hub and in a command alike. */
export interface AccessServices extends AsyncDisposable {
  readonly accounts: AccountsDeps;
  readonly groups: DeviceJoinDeps;
  readonly keys: KeysDeps;
}

export interface AccessDeps {
  readonly database: Database;
  readonly log: Log;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

/**
 * Builds them from the settings. Reads `secret.key` of the data folder, or makes it.
 *
 * @throws ConfigError when that file holds no key.
 */
export function accessServices(config: HubConfig, { database, log, now }: AccessDeps): AccessServices {
  const { registration, requiresVerifiedEmail, mail, secretKey, providers } = config.accounts;
  const publicUrl = new PublicUrl(config.publicUrl ?? `http://localhost:${config.port}`);
  const monotonic = (): number => performance.now();
  const groups: DeviceJoinDeps = {
    database,
    now,
    settings: { ...config.groups, isMailOn: mail !== undefined, publicUrl },
    guesses: new Guesses(monotonic),
    pace: new PollPace(monotonic),
  };
  const outbox = new Outbox(mail === undefined ? logPostman(log) : smtpPostman(mail), log);
  const accounts: AccountsDeps = {
    database,
    log,
    now,
    secret: loadHubSecret(config.dataDir, secretKey),
    hasher: new PasswordHasher(),
    tries: new Tries(monotonic),
    outbox,
    publicUrl,
    invites: inviteDesk(groups),
    providers: new Map(providers.map((each) => [each.name, openProvider(each)])),
    settings: { registration, requiresVerifiedEmail },
  };
  return {
    accounts,
    groups,
    keys: { database, now },
    [Symbol.asyncDispose]: () => outbox[Symbol.asyncDispose](),
  };
}
