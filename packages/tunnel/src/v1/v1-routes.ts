/** The routes of protocol v1, with the name that each has on the wire. */
const ROUTE_KINDS: Readonly<Record<string, string>> = {
  "POST /v1/chat/completions": "chat_completions",
  "POST /v1/completions": "completions",
  "POST /v1/responses": "responses",
  "POST /v1/embeddings": "embeddings",
  "POST /v1/rerank": "rerank",
  "POST /v1/audio/speech": "audio_speech",
  "POST /v1/audio/transcriptions": "audio_transcription",
  "POST /v1/audio/translations": "audio_translation",
  "POST /v1/images/generations": "images_generations",
  "POST /v1/images/edits": "images_edits",
  "POST /v1/images/variations": "images_variations",
  "POST /v1/videos": "videos_create",
};

const VIDEO = /^GET \/v1\/videos\/[^/]+$/;
const VIDEO_CONTENT = /^GET \/v1\/videos\/[^/]+\/content$/;

/** "POST /v1/chat/completions" and the others whose path is fixed. */
export const V1_ROUTES: readonly string[] = Object.keys(ROUTE_KINDS);

/** The `route_kind` of a request, undefined when v1 does not know the route. */
export function routeKindOf(method: string, path: string): string | undefined {
  const route = `${method} ${path}`;
  if (Object.hasOwn(ROUTE_KINDS, route)) return ROUTE_KINDS[route];
  if (VIDEO_CONTENT.test(route)) return "videos_content";
  return VIDEO.test(route) ? "videos_get" : undefined;
}
