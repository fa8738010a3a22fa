import type { ModelNames } from "./body-filter.ts";

/**
 * `query` with every `model` in it, however it is written, as the engine's own name for the model. All else keeps its
 * bytes. Some servers also split at ";".
 *
 * @throws ServeFailure when a name is not served here.
 */
export function mapQueryModel(query: string, names: ModelNames): string {
  let isNamed = false;
  const mapped = query
    .split(/([&;])/)
    .map((part) => {
      const mark = part.indexOf("=");
      const key = mark < 0 ? part : part.slice(0, mark);
      if (decoded(key).toLowerCase() !== "model") return part;
      isNamed = true;
      const name = mark < 0 ? "" : decoded(part.slice(mark + 1));
      const upstream = names.upstreamOf(name);
      return upstream === name ? part : `${key}=${encodeURIComponent(upstream)}`;
    })
    .join("");
  if (isNamed || names.whenMissing === undefined) return mapped;
  return `${mapped}${mapped === "" ? "" : "&"}model=${encodeURIComponent(names.whenMissing)}`;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    // A broken escape stays as it is in whatever reads it, so such a text is no `model`.
    return text;
  }
}
