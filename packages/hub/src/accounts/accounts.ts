import type { AccountsConfig } from "../config.ts";
import type { Log } from "../observe/log.ts";
import type { Database } from "../store/database.ts";
import type { HubSecret } from "./hub-secret.ts";
import type { InviteDesk } from "./invite-desk.ts";
import type { Outbox } from "./outbox.ts";
import type { PasswordHasher } from "./password-hasher.ts";
import type { Provider } from "./provider.ts";
import type { PublicUrl } from "./public-url.ts";
import type { Tries } from "./tries.ts";

/** What everything about accounts works with; made once by `hub.ts`. */
export interface AccountsDeps {
  readonly database: Database;
  /** Epoch milliseconds. */
  readonly now: () => number;
  readonly log: Log;
  readonly secret: HubSecret;
  readonly hasher: PasswordHasher;
  readonly tries: Tries;
  readonly outbox: Outbox;
  readonly publicUrl: PublicUrl;
  readonly invites: InviteDesk;
  /** By name. */
  readonly providers: ReadonlyMap<string, Provider>;
  readonly settings: AccountsSettings;
}

export type AccountsSettings = Pick<AccountsConfig, "registration" | "requiresVerifiedEmail">;
