import { openSqliteStore } from "./sqlite/open-sqlite.ts";
import { StoreError } from "./store-error.ts";
import type { Store, StoreOptions } from "./store.ts";

/**
 * Opens the database at `url` and brings it to this program's schema. `sqlite:` and an absolute path: made when it is
 * missing. `postgres://…`: must be there.
 *
 * @throws StoreError with one line that says what to do.
 */
export async function openStore(url: string, options: StoreOptions = { durability: "every-commit" }): Promise<Store> {
  if (url.startsWith("sqlite:/")) return openSqliteStore(url.slice("sqlite:".length), options);
  if (/^postgres(ql)?:\/\//.test(url)) {
    // Loaded here: a hub with SQLite starts without it.
    const { openPostgresStore } = await import("./postgres/open-postgres.ts");
    return openPostgresStore(url, options);
  }
  throw new StoreError("unsupported", "The database address must be sqlite: and an absolute path, or postgres://….");
}
