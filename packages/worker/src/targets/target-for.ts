import type { Target } from "./target.ts";

/**
 * The target that a request names. An original hub (protocol v1) names none, only the model: then the first target that
 * has it, as the announcement promises.
 */
export function targetFor(
  targets: ReadonlyMap<string, Target>,
  request: { readonly target: string; readonly model?: string },
): Target | undefined {
  if (request.target !== "") return targets.get(request.target);
  const { model } = request;
  if (model === undefined) return undefined;
  for (const target of targets.values()) if (target.models.has(model)) return target;
  return undefined;
}
