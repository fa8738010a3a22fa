import { encodeLine, numberField, objectField, parseLine, textField, textsField, withoutEmpty } from "./json-lines.ts";

/** What a v1 worker says of itself. Texts that it left out are "". */
export interface V1Facts {
  readonly namespace: string;
  readonly nodeName: string;
  /** A list with commas. */
  readonly group: string;
  /** Undefined: not said. */
  readonly models: readonly string[] | undefined;
  /** Whatever the worker found: untrusted, and with the addresses of its engines. */
  readonly hardware: Readonly<Record<string, unknown>> | undefined;
  readonly backendType: string;
}

export interface V1Ack {
  /** "register_ok", "cancel_noop" … */
  readonly message: string;
  readonly namespace?: string;
  readonly workerNumber?: number;
}

export interface V1Error {
  readonly code: string;
  readonly message: string;
}

/** A message of the control stream. Its payload is undefined where a sloppy peer left it out. */
export type V1Message = { readonly requestId: string } & (
  | { readonly type: "auth"; readonly token: string | undefined }
  | { readonly type: "register"; readonly facts: V1Facts | undefined }
  | { readonly type: "models_sync"; readonly facts: V1Facts | undefined }
  | { readonly type: "heartbeat"; readonly facts: V1Facts | undefined }
  | { readonly type: "cancel_request"; readonly targetRequestId: string; readonly reason: string }
  | { readonly type: "ack"; readonly ack: V1Ack }
  | { readonly type: "error"; readonly error: V1Error }
  /** None of the seven that exist. */
  | { readonly type: "unknown"; readonly name: string }
);

/** What a hub says before it closes a session (the original's gateway.go). The last five belong to QUIC. */
export type V1ErrorCode =
  | "auth_already_completed"
  | "register_already_completed"
  | "register_payload_missing"
  | "register_failed"
  | "not_registered"
  | "heartbeat_payload_missing"
  | "models_payload_missing"
  | "unsupported_message_type"
  | "heartbeat_failed"
  | "models_sync_failed"
  | "auth_payload_missing"
  | "auth_failed"
  | "not_authenticated";

/** @throws TunnelError "protocol" when the line is no such message. */
export function decodeMessage(line: Buffer): V1Message {
  const wire = parseLine(line);
  const requestId = textField(wire, "request_id");
  const type = textField(wire, "type");
  switch (type) {
    case "auth": {
      const auth = objectField(wire, "auth");
      return { type, requestId, token: auth && textField(auth, "token") };
    }
    case "register":
    case "models_sync":
    case "heartbeat":
      return { type, requestId, facts: factsOf(objectField(wire, type), type) };
    case "cancel_request": {
      const cancel = objectField(wire, type) ?? {};
      const targetRequestId = textField(cancel, "target_request_id");
      return { type, requestId, targetRequestId, reason: textField(cancel, "reason") };
    }
    case "ack":
      return { type, requestId, ack: { message: textField(objectField(wire, type) ?? {}, "message") } };
    case "error": {
      const error = objectField(wire, type) ?? {};
      return { type, requestId, error: { code: textField(error, "code"), message: textField(error, "message") } };
    }
    default:
      return { type: "unknown", requestId, name: type };
  }
}

/** One line. */
export function encodeMessage(message: Exclude<V1Message, { type: "unknown" }>): Buffer {
  const { type, requestId } = message;
  return encodeLine({ type, request_id: requestId, [type]: payloadOf(message) });
}

function payloadOf(message: Exclude<V1Message, { type: "unknown" }>): Record<string, unknown> {
  switch (message.type) {
    case "auth":
      return { token: message.token ?? "" };
    case "register": {
      const { namespace = "", nodeName } = message.facts ?? {};
      return { namespace, ...withoutEmpty({ node_name: nodeName }), ...modelFields(message.facts) };
    }
    case "models_sync":
      return modelFields(message.facts);
    case "heartbeat": {
      const { nodeName, hardware, models } = message.facts ?? {};
      return withoutEmpty({ node_name: nodeName, hardware_info: hardware, current_models: models });
    }
    case "cancel_request":
      return { target_request_id: message.targetRequestId, ...withoutEmpty({ reason: message.reason }) };
    case "ack": {
      const { message: text, namespace, workerNumber } = message.ack;
      // The numbers of the original's tables. A Go worker only logs them.
      return withoutEmpty({ message: text, namespace, worker_id: workerNumber, channel_id: workerNumber });
    }
    case "error":
      return { ...withoutEmpty({ code: message.error.code }), message: message.error.message };
  }
}

function modelFields(facts: V1Facts | undefined): Record<string, unknown> {
  const { group, models, hardware, backendType } = facts ?? {};
  return withoutEmpty({ group, models, hardware_info: hardware, backend_type: backendType });
}

function factsOf(payload: Readonly<Record<string, unknown>> | undefined, type: string): V1Facts | undefined {
  if (payload === undefined) return undefined;
  // Read for its type only: a Go worker never sets it.
  numberField(payload, "status");
  return {
    namespace: textField(payload, "namespace").trim(),
    nodeName: textField(payload, "node_name").trim(),
    group: textField(payload, "group"),
    models: textsField(payload, type === "heartbeat" ? "current_models" : "models"),
    hardware: objectField(payload, "hardware_info"),
    backendType: textField(payload, "backend_type").trim(),
  };
}
