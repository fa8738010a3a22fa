import type { Metrics } from "../observe/metrics.ts";
import { answerJson, answerText } from "./json-reply.ts";
import type { Route } from "./router.ts";

/** For process supervisors, load balancers and scrapers. They tell counts, never names of keys. */
export function healthRoutes(metrics: Metrics, hub: { readonly isReady: () => boolean }): readonly Route[] {
  return [
    { method: "GET", path: "/healthz", handler: (exchange) => answerJson(exchange, 200, { status: "ok" }) },
    {
      method: "GET",
      path: "/readyz",
      handler: (exchange) => {
        const isReady = hub.isReady();
        answerJson(exchange, isReady ? 200 : 503, { status: isReady ? "ready" : "draining" });
      },
    },
    {
      method: "GET",
      path: "/metrics",
      handler: async (exchange) => {
        const { contentType, text } = await metrics.render();
        answerText(exchange, { status: 200, contentType, text });
      },
    },
  ];
}
