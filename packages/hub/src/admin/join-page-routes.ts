import * as z from "zod";

import { route, streamOf } from "./route.ts";

/**
 * What a browser shows that opens an invite's link. The code stands behind the #, where only scripts read it; this page has none,
 * so that it says the same to everybody.
 */
const PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>An invitation to this hub</title>
<h1>You are invited</h1>
<p>Somebody invites you to use language models on this hub, or to share yours. The invitation is the address of this page with all
that stands behind the #: keep it as it is.</p>
<h2>To use models</h2>
<p>Sign in to this hub, or make an account with the invitation's code, and redeem the code there.</p>
<h2>To share the models of a machine</h2>
<p>On that machine, beside Ollama, vLLM or whatever serves its models:</p>
<pre>tokiame join "the address of this page"
tokiame</pre>
<p>It works with an invitation for providers, and asks you to confirm in a browser.</p>
`;

async function* page(): AsyncGenerator<string> {
  yield PAGE;
}

const definition = {
  method: "GET",
  permission: "public",
  scope: "none",
  summary: "What an invite's link shows in a browser",
  response: { 200: streamOf("text/html; charset=utf-8") },
} as const;

export const JOIN_PAGE_ROUTES = [
  route({ ...definition, path: "/join", handler: async () => ({ body: page() }) }),
  // For those who write the code behind a slash. It is not looked at.
  route({
    ...definition,
    path: "/join/{code}",
    params: z.strictObject({ code: z.string().max(200) }),
    handler: async () => ({ body: page() }),
  }),
];
