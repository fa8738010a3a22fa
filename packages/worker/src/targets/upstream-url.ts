/**
 * Path and query of the request to an engine: `base`'s path and the request's, overlapped where the end of the one is
 * the start of the other (`/v1` and `/v1/chat/completions` give `/v1/chat/completions`). The request's query replaces
 * that of `base`.
 */
export function upstreamPath(base: URL, path: string, query: string): string {
  const baseSegments = segmentsOf(base.pathname);
  const pathSegments = segmentsOf(path);
  const overlap = overlapOf(baseSegments, pathSegments);
  const merged = [...baseSegments, ...pathSegments.slice(overlap)].join("/");
  return `/${merged}${query === "" ? "" : `?${query}`}`;
}

function segmentsOf(path: string): string[] {
  return path.split("/").filter((segment) => segment !== "");
}

/** Length of the longest end of `base` that is also a start of `path`. */
function overlapOf(base: readonly string[], path: readonly string[]): number {
  for (let length = Math.min(base.length, path.length); length > 0; length--) {
    const end = base.slice(base.length - length);
    if (end.every((segment, at) => segment === path[at])) return length;
  }
  return 0;
}
