import { WIRE_LIMITS } from "../limits.ts";
import { TunnelError } from "../tunnel-error.ts";
import type { Registration } from "../tunnel-session.ts";
import { parseObject, isShallow } from "./head-codec.ts";

/** What each side tells first: how the other may send to it. */
export interface Hello {
  readonly role: "hub" | "worker";
  readonly software: string;
  /** Of the hub only. */
  readonly hubId?: string;
  readonly initialWindowBytes: number;
  readonly maxStreams: number;
}

/** What a worker says on CONTROL. */
export type WorkerMessage =
  | { readonly type: "register"; readonly registration: Registration }
  | { readonly type: "update"; readonly details: unknown };

/** What a hub says on CONTROL. */
export type HubMessage =
  | { readonly type: "registered"; readonly sessionId: string; readonly generation: number }
  /** Another hub takes over at the same address: register there, and serve here until GOAWAY. */
  | { readonly type: "move"; readonly afterMs: number }
  /** Of the program around the hub, for the one around the worker. */
  | { readonly type: "notice"; readonly details: unknown }
  | {
      readonly type: "refused";
      readonly code: string;
      readonly message: string;
      readonly isFatal: boolean;
      readonly retryAfterMs?: number;
    };

const MIN_WINDOW_BYTES = 1024;
const MAX_STREAMS = 65_536;
const NAME_LENGTH = 256;
const MESSAGE_LENGTH = 4096;
// eslint-disable-next-line no-control-regex -- these are what we look for
const WORKER_ID = /^[^\u0000-\u001f\u007f]{1,256}$/u;

/** `grease` is a random name: a peer that trips over unknown capabilities is found early. */
export function encodeHello(hello: Hello, grease: string): Buffer {
  return Buffer.from(
    JSON.stringify({
      v: 2,
      role: hello.role,
      sw: hello.software,
      hub: hello.hubId,
      win: hello.initialWindowBytes,
      streams: hello.maxStreams,
      caps: [grease],
    }),
  );
}

/** @throws TunnelError "protocol", or "unsupported" for another version. */
export function decodeHello(payload: Buffer): Hello {
  if (payload.length > WIRE_LIMITS.helloBytes) throw new TunnelError("protocol", { message: "HELLO too large" });
  const wire = parseObject(payload);
  const { v, role, sw, hub, win, streams } = wire;
  if (v !== 2) throw new TunnelError("unsupported", { message: "HELLO of another version" });
  if (role !== "hub" && role !== "worker") throw malformed("HELLO role");
  if (!isWholeNumber(win) || win < MIN_WINDOW_BYTES) throw malformed("HELLO window");
  if (!isWholeNumber(streams) || streams > MAX_STREAMS) throw malformed("HELLO streams");
  const hello: Hello = { role, software: shortText(sw ?? ""), initialWindowBytes: win, maxStreams: streams };
  return hub === undefined ? hello : { ...hello, hubId: shortText(hub) };
}

export function encodeWorkerMessage(message: WorkerMessage): Buffer {
  switch (message.type) {
    case "register":
      return encodeControl({ type: "register", ...message.registration });
    case "update":
      return encodeControl({ type: "update", details: message.details });
  }
}

/** Undefined for a type that we do not know: a newer worker may have more to say. @throws TunnelError "protocol". */
export function decodeWorkerMessage(payload: Buffer): WorkerMessage | undefined {
  const wire = parseControl(payload);
  switch (wire["type"]) {
    case "register":
      return { type: "register", registration: registrationOf(wire) };
    case "update":
      return { type: "update", details: wire["details"] };
    default:
      return undefined;
  }
}

export function encodeHubMessage(message: HubMessage): Buffer {
  switch (message.type) {
    case "registered":
      return encodeControl({ type: "registered", session: message.sessionId, generation: message.generation });
    case "move":
      return encodeControl({ type: "move", afterMs: message.afterMs });
    case "notice":
      return encodeControl({ type: "notice", details: message.details });
    case "refused":
      return encodeControl({
        type: "refused",
        code: message.code,
        message: message.message,
        fatal: message.isFatal,
        retryAfterMs: message.retryAfterMs,
      });
  }
}

/** Undefined for a type that we do not know. @throws TunnelError "protocol". */
export function decodeHubMessage(payload: Buffer): HubMessage | undefined {
  const wire = parseControl(payload);
  const { type, session, generation, code, message, fatal, retryAfterMs, afterMs } = wire;
  if (type === "move") {
    if (!isWholeNumber(afterMs)) throw malformed("move");
    return { type, afterMs };
  }
  if (type === "notice") return { type, details: wire["details"] };
  if (type === "registered") {
    if (!isWholeNumber(generation)) throw malformed("generation");
    return { type, sessionId: shortText(session), generation };
  }
  if (type !== "refused") return undefined;
  if (typeof message !== "string") throw malformed("refusal");
  const refusal = {
    type: "refused" as const,
    code: shortText(code),
    message: message.slice(0, MESSAGE_LENGTH),
    isFatal: fatal === true,
  };
  return isWholeNumber(retryAfterMs) ? { ...refusal, retryAfterMs } : refusal;
}

function encodeControl(value: object): Buffer {
  const bytes = Buffer.from(JSON.stringify(value));
  if (bytes.length > WIRE_LIMITS.controlBytes) {
    throw new TunnelError("too-large", { message: `an announcement of ${bytes.length} bytes` });
  }
  return bytes;
}

function parseControl(payload: Buffer): Record<string, unknown> {
  const wire = parseObject(payload);
  if (!isShallow(wire, WIRE_LIMITS.controlDepth)) throw malformed("CONTROL nested too deeply");
  return wire;
}

function registrationOf(wire: Record<string, unknown>): Registration {
  const { workerId, instanceId, slot, software, details } = wire;
  if (typeof workerId !== "string" || !WORKER_ID.test(workerId)) throw malformed("workerId");
  if (!isWholeNumber(slot) || slot > 255) throw malformed("slot");
  return { workerId, instanceId: shortText(instanceId), slot, software: shortText(software ?? ""), details };
}

function isWholeNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function shortText(value: unknown): string {
  if (typeof value !== "string" || value.length > NAME_LENGTH) throw malformed("text");
  return value;
}

function malformed(what: string): TunnelError {
  return new TunnelError("protocol", { message: `malformed ${what}` });
}
