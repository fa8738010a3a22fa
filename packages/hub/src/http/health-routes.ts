import { hash, timingSafeEqual } from "node:crypto";

import { AppError } from "../errors.ts";
import type { Metrics } from "../observe/metrics.ts";
import { bearerOf } from "./authenticate.ts";
import { answerJson, answerText } from "./json-reply.ts";
import type { Route } from "./router.ts";

export interface HealthOptions {
  readonly isReady: () => boolean;
  /** What a scraper must send as its bearer token; undefined: anybody may read the metrics. */
  readonly metricsToken: string | undefined;
}

/** For process supervisors, load balancers and scrapers. They tell counts, never names of keys. */
export function healthRoutes(metrics: Metrics, { isReady: asksReady, metricsToken }: HealthOptions): readonly Route[] {
  return [
    { method: "GET", path: "/healthz", handler: (exchange) => answerJson(exchange, 200, { status: "ok" }) },
    {
      method: "GET",
      path: "/readyz",
      handler: (exchange) => {
        const isReady = asksReady();
        answerJson(exchange, isReady ? 200 : 503, { status: isReady ? "ready" : "draining" });
      },
    },
    {
      method: "GET",
      path: "/metrics",
      handler: async (exchange) => {
        checkToken(metricsToken, exchange.request.headers.authorization);
        const { contentType, text } = await metrics.render();
        answerText(exchange, { status: 200, contentType, text });
      },
    },
  ];
}

/** @throws AppError `invalid_api_key` */
function checkToken(wanted: string | undefined, authorization: string | undefined): void {
  if (wanted === undefined) return;
  // Digests have one length, as the comparison needs, and tell nothing of the token's own.
  const given = hash("sha256", bearerOf(authorization) ?? "", "buffer");
  if (timingSafeEqual(given, hash("sha256", wanted, "buffer"))) return;
  throw new AppError("invalid_api_key", 'The metrics need "Authorization: Bearer" and the TOKILAKE_METRICS_TOKEN.', {
    headers: { "www-authenticate": "Bearer" },
  });
}
