import { WIRE_LIMITS } from "../limits.ts";
import { TUNNEL_ERROR_NUMBERS, TunnelError, type TunnelErrorCode, tunnelErrorCodeOf } from "../tunnel-error.ts";
import type { ResetOptions } from "../tunnel-stream.ts";
import { encodeFrame, FLAG, FRAME, type FrameCursor, RESET_BIT } from "./frame.ts";

/** A GOAWAY: no new streams here. */
export interface Goaway {
  /** The highest stream id of the receiver that the sender still serves. */
  readonly lastId: number;
  readonly code: TunnelErrorCode;
  readonly graceMs: number;
  readonly reconnectAfterMs: number;
  readonly message: string;
}

const MAX_UINT32 = 2 ** 32 - 1;

export function encodeReset(streamId: number, code: TunnelErrorCode, options: ResetOptions = {}): Buffer {
  const text = boundedText(options.message ?? "");
  const payload = Buffer.alloc(4 + text.length);
  payload.writeUInt16BE(TUNNEL_ERROR_NUMBERS[code], 0);
  payload[2] =
    (options.retrySafe === true ? RESET_BIT.retrySafe : 0) |
    (options.backendCancelled === true ? RESET_BIT.backendCancelled : 0);
  payload.set(text, 4);
  return encodeFrame(FRAME.reset, 0, streamId, payload);
}

/** @throws TunnelError "protocol" when it is too short or too long. */
export function decodeReset(frame: FrameCursor): TunnelError {
  if (frame.length < 4 || frame.length > 4 + WIRE_LIMITS.resetTextBytes) throw badFrame("RESET");
  const { message, start, end } = frame;
  const bits = message.readUInt8(start + 2);
  return new TunnelError(tunnelErrorCodeOf(message.readUInt16BE(start)), {
    message: message.toString("utf8", start + 4, end),
    retrySafe: (bits & RESET_BIT.retrySafe) !== 0,
    backendCancelled: (bits & RESET_BIT.backendCancelled) !== 0,
    isLocal: false,
  });
}

export function encodeStop(streamId: number, code: TunnelErrorCode): Buffer {
  const payload = Buffer.alloc(2);
  payload.writeUInt16BE(TUNNEL_ERROR_NUMBERS[code], 0);
  return encodeFrame(FRAME.stop, 0, streamId, payload);
}

export function encodePing(payload: Uint8Array, options: { readonly isAnswer: boolean }): Buffer {
  return encodeFrame(FRAME.ping, options.isAnswer ? FLAG.ack : 0, 0, payload);
}

export function encodeGoaway(goaway: Goaway): Buffer {
  const text = boundedText(goaway.message);
  const payload = Buffer.alloc(16 + text.length);
  payload.writeUInt32BE(goaway.lastId, 0);
  payload.writeUInt16BE(TUNNEL_ERROR_NUMBERS[goaway.code], 4);
  payload.writeUInt32BE(Math.min(Math.max(0, Math.round(goaway.graceMs)), MAX_UINT32), 8);
  payload.writeUInt32BE(Math.min(Math.max(0, Math.round(goaway.reconnectAfterMs)), MAX_UINT32), 12);
  payload.set(text, 16);
  return encodeFrame(FRAME.goaway, 0, 0, payload);
}

/** @throws TunnelError "protocol" when it is too short or too long. */
export function decodeGoaway(frame: FrameCursor): Goaway {
  if (frame.length < 16 || frame.length > 16 + WIRE_LIMITS.resetTextBytes) throw badFrame("GOAWAY");
  const { message, start, end } = frame;
  return {
    lastId: message.readUInt32BE(start),
    code: tunnelErrorCodeOf(message.readUInt16BE(start + 4)),
    graceMs: message.readUInt32BE(start + 8),
    reconnectAfterMs: message.readUInt32BE(start + 12),
    message: message.toString("utf8", start + 16, end),
  };
}

function badFrame(name: string): TunnelError {
  return new TunnelError("protocol", { message: `${name} of a wrong size` });
}

/** At most 256 bytes, never cut inside a character. */
function boundedText(text: string): Buffer {
  const bytes = Buffer.from(text.slice(0, WIRE_LIMITS.resetTextBytes));
  if (bytes.length <= WIRE_LIMITS.resetTextBytes) return bytes;
  let end: number = WIRE_LIMITS.resetTextBytes;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.subarray(0, end);
}
