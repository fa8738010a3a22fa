import { AppError } from "../errors.ts";
import type { Handler } from "./exchange.ts";

export type Method = "GET" | "POST";

export interface Route {
  readonly method: Method;
  /** An exact path, or one that ends in `/*`: everything below it. */
  readonly path: string;
  readonly handler: Handler;
}

/**
 * Finds a request's handler by comparing its path as it came. Nothing is decoded or repaired: `/v1/../x` and `//v1/models`
 * are simply not in the table.
 */
export class Router {
  readonly #exact = new Map<string, Map<Method, Handler>>();
  readonly #below: { readonly prefix: string; readonly handlers: Map<Method, Handler> }[] = [];

  constructor(routes: readonly Route[]) {
    for (const route of routes) this.#handlersAt(route.path).set(route.method, route.handler);
  }

  /** @throws AppError `unknown_url` or `method_not_allowed`. */
  find(method: string, path: string): Handler {
    const handlers = this.#at(path);
    if (handlers === undefined) {
      const known = [...this.#exact.keys()].filter((each) => each.startsWith("/v1/")).join(", ");
      throw new AppError("unknown_url", `Unknown request URL: ${method} ${shown(path)}. The API has ${known}.`);
    }
    // A HEAD is answered as the GET it stands for; Node leaves the body out.
    const handler = handlers.get(method === "HEAD" ? "GET" : (method as Method));
    if (handler !== undefined) return handler;
    const allow = this.allowedAt(path);
    throw new AppError("method_not_allowed", `${shown(path)} answers ${allow}, not ${method}.`, { headers: { allow } });
  }

  /** For the header `allow`; "" for a path that is not there. */
  allowedAt(path: string): string {
    const methods = [...(this.#at(path)?.keys() ?? [])];
    if (methods.length === 0) return "";
    return [...methods, ...(methods.includes("GET") ? ["HEAD"] : []), "OPTIONS"].join(", ");
  }

  #at(path: string): Map<Method, Handler> | undefined {
    return (
      this.#exact.get(path) ??
      this.#below.find(({ prefix }) => path.length > prefix.length && path.startsWith(prefix))?.handlers
    );
  }

  #handlersAt(path: string): Map<Method, Handler> {
    if (!path.endsWith("/*")) {
      const handlers = this.#exact.get(path) ?? new Map<Method, Handler>();
      this.#exact.set(path, handlers);
      return handlers;
    }
    const prefix = path.slice(0, -1);
    const known = this.#below.find((each) => each.prefix === prefix);
    if (known !== undefined) return known.handlers;
    const handlers = new Map<Method, Handler>();
    this.#below.push({ prefix, handlers });
    return handlers;
  }
}

/** A path for an error message. */
function shown(path: string): string {
  return path.length > 100 ? `${path.slice(0, 100)}…` : path;
}
