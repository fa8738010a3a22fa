/**
 * Routes an engine may be asked for, unless the owner lists others: generation and nothing else. Exact method and path;
 * no pull, delete, admin or control route of any engine is among them.
 */
export const RELAY_ROUTES: readonly string[] = [
  "POST /v1/chat/completions",
  "POST /v1/completions",
  "POST /v1/responses",
  "POST /v1/embeddings",
  "POST /v1/rerank",
  "POST /v1/moderations",
  "POST /v1/images/generations",
  "POST /v1/images/edits",
  "POST /v1/images/variations",
  "POST /v1/audio/speech",
  "POST /v1/audio/transcriptions",
  "POST /v1/audio/translations",
  "GET /v1/realtime",
];

/** Routes whose bodies may be forms. All others are read as JSON whatever their content type says, as engines do. */
export const FORM_ROUTES: ReadonlySet<string> = new Set([
  "/v1/images/edits",
  "/v1/images/variations",
  "/v1/audio/transcriptions",
  "/v1/audio/translations",
]);

/** `METHOD /path`: no query, no dot segments, no escapes, so that what is compared is what the engine reads. */
export const ROUTE_PATTERN = /^(?:GET|POST|PUT|PATCH|DELETE) (?:\/[A-Za-z0-9_-][A-Za-z0-9._:-]*)+$/;
