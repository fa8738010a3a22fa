import type { TunnelLog } from "@tokilake/tunnel";

import { refusedTexts, servedTexts } from "./report/served-text.ts";
import type { Served } from "./report/served.ts";

/** Tells the owner what the hub serves of this worker and what it does not: one line, each time that this is another. */
export class ServedLog {
  readonly #log: TunnelLog;
  #last = "";

  constructor(log: TunnelLog) {
    this.#log = log;
  }

  /** undefined: nothing is known. What a hub says again after the connection was lost is no news, nor is another number of models that are served. */
  tell(served: Served | undefined): void {
    if (served === undefined) return;
    const refused = refusedTexts(served);
    const isAll = refused.length === 0;
    const line = isAll ? `served: ${servedTexts(served).join(", ")}` : `not served: ${refused.join("; ")}`;
    const groups = served.groups.map((each) => "served" in each && each.group);
    const news = JSON.stringify([refused, groups]);
    const isOld = news === this.#last;
    this.#last = news;
    this.#log[isOld ? "debug" : isAll ? "info" : "warn"]({}, line);
  }
}
