import { hash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";

import type { Metrics } from "../observe/metrics.ts";
import { type AuthenticateDeps, bearerOf, refusalOf } from "./authenticate.ts";
import { answerJson, answerText } from "./json-reply.ts";
import type { Route } from "./router.ts";

export interface HealthOptions {
  readonly isReady: () => boolean;
  /** What a scraper must send as its bearer token; undefined: anybody may read the metrics. */
  readonly metricsToken: string | undefined;
  readonly door: AuthenticateDeps;
}

/** For process supervisors, load balancers and scrapers. They tell counts, never names of keys. */
export function healthRoutes(metrics: Metrics, options: HealthOptions): readonly Route[] {
  return [
    { method: "GET", path: "/healthz", handler: (exchange) => answerJson(exchange, 200, { status: "ok" }) },
    {
      method: "GET",
      path: "/readyz",
      handler: (exchange) => {
        const isReady = options.isReady();
        answerJson(exchange, isReady ? 200 : 503, { status: isReady ? "ready" : "draining" });
      },
    },
    {
      method: "GET",
      path: "/metrics",
      handler: async (exchange) => {
        checkToken(options, exchange.request);
        const { contentType, text } = await metrics.render();
        answerText(exchange, { status: 200, contentType, text });
      },
    },
  ];
}

/** @throws AppError `invalid_api_key`, `rate_limit_exceeded` */
function checkToken({ metricsToken, door }: HealthOptions, request: IncomingMessage): void {
  if (metricsToken === undefined) return;
  // Digests have one length, as the comparison needs, and tell nothing of the token's own.
  const given = hash("sha256", bearerOf(request.headers.authorization) ?? "", "buffer");
  if (timingSafeEqual(given, hash("sha256", metricsToken, "buffer"))) return door.strangers.welcome(request.socket);
  throw refusalOf(door, request, 'The metrics need "Authorization: Bearer" and the TOKILAKE_METRICS_TOKEN.');
}
