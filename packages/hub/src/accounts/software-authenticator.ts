import { createHash, createPrivateKey, createSign, generateKeyPairSync, randomBytes } from "node:crypto";

import type {
  AuthenticationResponseJSON,
  PublicKeyCredentialCreationOptionsJSON,
  PublicKeyCredentialRequestOptionsJSON,
  RegistrationResponseJSON,
} from "@simplewebauthn/server";

/** What a test may want to be wrong. */
export interface AuthenticatorFaults {
  readonly origin?: string;
  readonly rpId?: string;
  readonly isUserVerified?: boolean;
  readonly challenge?: string;
  readonly userHandle?: string;
}

/** A passkey in software, for tests: ES256, attestation "none" (WebAuthn level 3, §6 and §8.7). */
export class SoftwareAuthenticator {
  readonly id = randomBytes(32).toString("base64url");
  readonly #origin: string;
  readonly #key = generateKeyPairSync("ec", { namedCurve: "P-256" });
  /** Of signatures; undefined: does not count. */
  #counter: number | undefined;
  #userHandle = "";

  constructor(origin: string, options: { readonly counter?: number } = {}) {
    this.#origin = origin;
    this.#counter = options.counter;
  }

  create(options: PublicKeyCredentialCreationOptionsJSON, faults: AuthenticatorFaults = {}): RegistrationResponseJSON {
    this.#userHandle = options.user.id;
    const attestedCredential = Buffer.concat([
      Buffer.alloc(16),
      uint16(32),
      Buffer.from(this.id, "base64url"),
      this.#coseKey(),
    ]);
    const data = Buffer.concat([this.#authenticatorData(options.rp.id ?? "", faults, 0x40), attestedCredential]);
    // {"fmt": "none", "attStmt": {}, "authData": bytes}
    const attestationObject = Buffer.concat([
      Buffer.from([0xa3]),
      cborText("fmt"),
      cborText("none"),
      cborText("attStmt"),
      Buffer.from([0xa0]),
      cborText("authData"),
      Buffer.from([0x59]),
      uint16(data.length),
      data,
    ]);
    return {
      id: this.id,
      rawId: this.id,
      type: "public-key",
      clientExtensionResults: {},
      response: {
        clientDataJSON: this.#clientData("webauthn.create", options.challenge, faults).toString("base64url"),
        attestationObject: attestationObject.toString("base64url"),
        transports: ["internal"],
      },
    };
  }

  get(options: PublicKeyCredentialRequestOptionsJSON, faults: AuthenticatorFaults = {}): AuthenticationResponseJSON {
    if (this.#counter !== undefined) this.#counter += 1;
    const data = this.#authenticatorData(options.rpId ?? "", faults, 0);
    const clientData = this.#clientData("webauthn.get", options.challenge, faults);
    const signed = Buffer.concat([data, createHash("sha256").update(clientData).digest()]);
    return {
      id: this.id,
      rawId: this.id,
      type: "public-key",
      clientExtensionResults: {},
      response: {
        clientDataJSON: clientData.toString("base64url"),
        authenticatorData: data.toString("base64url"),
        signature: createSign("sha256").update(signed).sign(this.#key.privateKey).toString("base64url"),
        userHandle: faults.userHandle ?? this.#userHandle,
      },
    };
  }

  /** Another device with the same key, as somebody who copied it has. */
  clone(): SoftwareAuthenticator {
    const copy = new SoftwareAuthenticator(this.#origin);
    Object.defineProperty(copy, "id", { value: this.id });
    copy.#counter = this.#counter;
    copy.#userHandle = this.#userHandle;
    copy.#key.privateKey = createPrivateKey(this.#key.privateKey.export({ type: "pkcs8", format: "pem" }));
    return copy;
  }

  #clientData(type: string, challenge: string, faults: AuthenticatorFaults): Buffer {
    return Buffer.from(
      JSON.stringify({ type, challenge: faults.challenge ?? challenge, origin: faults.origin ?? this.#origin }),
    );
  }

  #authenticatorData(rpId: string, faults: AuthenticatorFaults, flags: number): Buffer {
    const verified = faults.isUserVerified === false ? 0 : 0x04;
    const counter = Buffer.alloc(4);
    counter.writeUInt32BE(this.#counter ?? 0);
    const rpIdHash = createHash("sha256")
      .update(faults.rpId ?? rpId)
      .digest();
    return Buffer.concat([rpIdHash, Buffer.from([0x01 | verified | flags]), counter]);
  }

  /** {1: 2, 3: -7, -1: 1, -2: x, -3: y} */
  #coseKey(): Buffer {
    const { x = "", y = "" } = this.#key.publicKey.export({ format: "jwk" });
    return Buffer.concat([
      Buffer.from([0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20]),
      Buffer.from(x, "base64url"),
      Buffer.from([0x22, 0x58, 0x20]),
      Buffer.from(y, "base64url"),
    ]);
  }
}

function cborText(text: string): Buffer {
  return Buffer.concat([Buffer.from([0x60 + text.length]), Buffer.from(text)]);
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}
