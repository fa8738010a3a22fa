import * as z from "zod";

import { openApiDocument } from "./openapi.ts";
import { type Route, route } from "./route.ts";

/** `routes`, and one more that describes them all and itself. @param version This program's. */
export function describedRoutes<S>(routes: readonly Route<S>[], version: string): readonly Route<S>[] {
  const described: readonly Route<S>[] = [
    ...routes,
    route({
      method: "GET",
      path: "/api/openapi.json",
      permission: "public",
      scope: "none",
      summary: "This document",
      response: { 200: z.record(z.string(), z.unknown()) },
      handler: async () => {
        document ??= openApiDocument(described, version);
        return { body: document };
      },
    }),
  ];
  let document: Readonly<Record<string, unknown>> | undefined;
  return described;
}
