import { AppError } from "../errors.ts";
import type { Principal } from "../identity/principal.ts";
import { authenticate, type AuthenticateDeps } from "./authenticate.ts";
import type { Exchange } from "./exchange.ts";
import { answerJson } from "./json-reply.ts";
import type { Route } from "./router.ts";

/** What the model routes ask: what is served now to whoever has a key. */
export interface ModelDirectory {
  /** Sorted by name. */
  list(principal: Principal): readonly { readonly id: string; readonly sinceMs: number }[];
  /** Undefined when nobody serves it to them now. */
  sinceMs(principal: Principal, model: string): number | undefined;
}

/** GET /v1/models and /v1/models/:id (OpenAI API reference, "Models"). An id may contain "/", as it is or as %2F. */
export function modelRoutes(door: AuthenticateDeps, models: ModelDirectory): readonly Route[] {
  return [
    {
      method: "GET",
      path: "/v1/models",
      handler: (exchange) => {
        const principal = authenticate(door, exchange.request);
        answerJson(exchange, 200, {
          object: "list",
          data: models.list(principal).map(({ id, sinceMs }) => modelObject(id, sinceMs)),
        });
      },
    },
    {
      method: "GET",
      path: "/v1/models/*",
      handler: (exchange) => {
        const principal = authenticate(door, exchange.request);
        const id = modelIdOf(exchange);
        const sinceMs = models.sinceMs(principal, id);
        if (sinceMs === undefined) {
          throw new AppError(
            "model_not_found",
            `The model "${id}" does not exist. GET /v1/models lists those that do.`,
            { param: "model" },
          );
        }
        answerJson(exchange, 200, modelObject(id, sinceMs));
      },
    },
  ];
}

function modelObject(id: string, sinceMs: number): object {
  return { id, object: "model", created: Math.floor(sinceMs / 1000), owned_by: "tokilake" };
}

function modelIdOf({ path }: Exchange): string {
  try {
    return decodeURIComponent(path.slice("/v1/models/".length));
  } catch (thrown) {
    throw new AppError("invalid_request", "The model's name in the address is not encoded correctly.", {
      param: "model",
      cause: thrown,
    });
  }
}
