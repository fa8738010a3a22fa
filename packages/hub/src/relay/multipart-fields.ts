/** What may stand in front of the fields we look for. A form with more parts is not one of the API's. */
export const MULTIPART_LIMITS = { maxParts: 100, maxPartHeadBytes: 16 * 1024, maxFieldBytes: 16 * 1024 } as const;

export class MultipartError extends Error {
  override readonly name = "MultipartError";
}

/** The boundary that a `multipart/form-data` content type names (RFC 2046 §5.1.1); undefined when there is none. */
export function boundaryOf(contentType: string): string | undefined {
  const match = /;\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))/i.exec(contentType);
  return match?.[1] ?? match?.[2];
}

/**
 * The text fields called `names` in the part of a form that is here (RFC 7578). A field that is cut off at the end is left
 * out. Nothing is decoded but those fields.
 *
 * @throws MultipartError when it is no form, has too many parts, or a field twice.
 */
export function fieldsOf(form: Buffer, boundary: string, names: ReadonlySet<string>): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  const delimiter = Buffer.from(`\r\n--${boundary}`);
  let at = form.subarray(0, delimiter.length - 2).equals(delimiter.subarray(2))
    ? delimiter.length - 2
    : endOf(form, delimiter, 0);
  if (at < 0) throw new MultipartError("the body does not start with the boundary that the content type names");
  for (let parts = 0; at >= 0; parts += 1) {
    if (parts === MULTIPART_LIMITS.maxParts) throw new MultipartError(`it has more than ${parts} parts`);
    const part = partAt(form, at, delimiter);
    if (part === undefined) break;
    if (part.name !== undefined && names.has(part.name)) addField(fields, part.name, part.value);
    at = part.next;
  }
  return fields;
}

interface Part {
  readonly name: string | undefined;
  readonly value: Buffer;
  /** Where the next part's head begins. */
  readonly next: number;
}

/** The part whose head begins at `at`; undefined at the closing boundary, and when the part is not whole. */
function partAt(form: Buffer, at: number, delimiter: Buffer): Part | undefined {
  if (form.subarray(at, at + 2).equals(CLOSING)) return undefined;
  const headEnd = form.indexOf("\r\n\r\n", at);
  if (headEnd < 0) return undefined;
  if (headEnd - at > MULTIPART_LIMITS.maxPartHeadBytes) throw new MultipartError("a part's head is too long");
  const end = form.indexOf(delimiter, headEnd + 2);
  if (end < 0) return undefined;
  const name = /^content-disposition:[^\r]*;\s*name=(?:"([^"\r]*)"|([^\s;"]+))/im.exec(
    form.toString("latin1", at, headEnd),
  );
  return {
    name: name?.[1] ?? name?.[2],
    value: form.subarray(headEnd + 4, Math.max(end, headEnd + 4)),
    next: end + delimiter.length,
  };
}

function addField(fields: Map<string, string>, name: string, value: Buffer): void {
  if (fields.has(name)) throw new MultipartError(`it has the field "${name}" twice`);
  if (value.length > MULTIPART_LIMITS.maxFieldBytes) throw new MultipartError(`the field "${name}" is too long`);
  fields.set(name, value.toString("utf8"));
}

function endOf(form: Buffer, delimiter: Buffer, from: number): number {
  const at = form.indexOf(delimiter, from);
  return at < 0 ? -1 : at + delimiter.length;
}

const CLOSING = Buffer.from("--");
