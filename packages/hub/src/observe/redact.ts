/** Our own keys and those of the providers people use (`sk-proj-…`, `sk-ant-…`); 16 characters, so that words stay. */
const KEYS = /\b(sk|wk|pat)-[\w-]{16,}/g;
const BEARERS = /\b(bearer|basic) +[\w.~+/=-]{8,}/gi;
const NAMED = /"(authorization|cookie|set-cookie|secret|password|token|api_?key|x-api-key)":"[^"]*"/gi;

/**
 * A log line without what must not be in one. The last net: code that logs a key on purpose is wrong all the same. It works on
 * the finished line, so that no nesting of fields and no text of an error can hide a key from it (about 1 µs a line).
 */
export function redact(line: string): string {
  return line.replace(KEYS, "$1-[redacted]").replace(BEARERS, "$1 [redacted]").replace(NAMED, '"$1":"[redacted]"');
}
