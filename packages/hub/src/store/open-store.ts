import { openSqliteStore } from "./sqlite/open-sqlite.ts";
import { StoreError } from "./store-error.ts";
import type { Store, StoreOptions } from "./store.ts";

/**
 * Opens the database at `url` (`sqlite:` and an absolute path), makes it when it is missing, and brings it to this
 * program's schema.
 *
 * @throws StoreError with one line that says what to do.
 */
export async function openStore(url: string, options: StoreOptions = { durability: "every-commit" }): Promise<Store> {
  if (url.startsWith("sqlite:/")) return openSqliteStore(url.slice("sqlite:".length), options);
  throw new StoreError("unsupported", `The database address must be sqlite: and an absolute path.`);
}
