import * as z from "zod";

const BASE64URL = z.string().regex(/^[\w-]+$/);
const CREDENTIAL = { id: BASE64URL.max(1500), rawId: BASE64URL.max(1500), type: z.literal("public-key") };

/** Extensions are not used, so what a browser says of them is left out. */
const NO_EXTENSIONS = { clientExtensionResults: z.object({}).default({}) };

/** What a browser makes of a new passkey: `PublicKeyCredential.toJSON()`, WebAuthn level 3 §5.1. */
export const NEW_PASSKEY = z
  .object({
    ...CREDENTIAL,
    ...NO_EXTENSIONS,
    response: z.object({
      clientDataJSON: BASE64URL.max(10_000),
      attestationObject: BASE64URL.max(100_000),
      transports: z.array(z.string().max(50)).max(10).exactOptional(),
    }),
  })
  .meta({ id: "NewPasskeyAnswer" });

/** What a browser makes of a passkey that it has. */
export const PASSKEY_ANSWER = z
  .object({
    ...CREDENTIAL,
    ...NO_EXTENSIONS,
    response: z.object({
      clientDataJSON: BASE64URL.max(10_000),
      authenticatorData: BASE64URL.max(10_000),
      signature: BASE64URL.max(10_000),
      userHandle: BASE64URL.max(200).exactOptional(),
    }),
  })
  .meta({ id: "PasskeyAnswer" });

export const PASSKEY_OPTIONS = z
  .object({
    object: z.literal("passkey_options"),
    options: z.looseObject({}).describe("As PublicKeyCredential.parse…OptionsFromJSON() takes it"),
  })
  .meta({ id: "PasskeyOptions" });

/** A provider's name in the settings. */
export const PROVIDER = z.string().max(64);

export const JOURNEY = z
  .object({
    object: z.literal("provider_journey"),
    location: z.string().describe("The address to send the browser to, within ten minutes"),
  })
  .meta({ id: "ProviderJourney" });
