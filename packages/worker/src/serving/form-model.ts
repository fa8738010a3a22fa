import { LIMITS } from "../limits.ts";
import type { BodyFilter, ModelNames } from "./body-filter.ts";
import { ServeFailure } from "./serve-failure.ts";

/** Replaces the field `model` of an urlencoded body. Held whole, since such bodies carry no files. */
export class FormModelFilter implements BodyFilter {
  growth = 0;
  readonly #names: ModelNames;
  readonly #chunks: Uint8Array[] = [];
  #bytes = 0;

  constructor(names: ModelNames) {
    this.#names = names;
  }

  push(chunk: Uint8Array): Uint8Array[] {
    this.#bytes += chunk.length;
    if (this.#bytes > LIMITS.maxBufferedBodyBytes) throw new ServeFailure("too-large", "urlencoded body over 1 MiB");
    this.#chunks.push(chunk);
    return [];
  }

  finish(): Uint8Array[] {
    const before = Buffer.concat(this.#chunks);
    const after = Buffer.from(this.#replaceFields(before.toString("latin1")), "latin1");
    this.growth = after.length - before.length;
    return after.length > 0 ? [after] : [];
  }

  #replaceFields(form: string): string {
    let hasModel = false;
    const fields = form.split("&").map((field) => {
      const [name = "", value = ""] = decodedPair(field);
      if (name.toLowerCase() !== "model") return field;
      hasModel = true;
      const upstream = this.#names.upstreamOf(value);
      return upstream === value ? field : String(new URLSearchParams({ [name]: upstream }));
    });
    const { whenMissing } = this.#names;
    if (hasModel || whenMissing === undefined) return form === "" ? "" : fields.join("&");
    const added = String(new URLSearchParams({ model: whenMissing }));
    return form === "" ? added : `${form}&${added}`;
  }
}

function decodedPair(field: string): readonly [string?, string?] {
  const [first] = new URLSearchParams(field);
  return first ?? [];
}
