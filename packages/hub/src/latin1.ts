/**
 * Bytes as text with one character each: the cheapest to search and to send on. What ASCII searches for is found in UTF-8, too.
 * The tunnel gives Buffers; anything else is viewed as one, without a copy.
 */
export function latin1Of(bytes: Uint8Array): string {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return buffer.toString("latin1");
}
