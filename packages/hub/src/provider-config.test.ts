import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { test } from "node:test";

import { type AccountsConfig, readConfig, unknownVariables } from "./config.ts";
import { temporaryFolder } from "./temporary-folder.ts";

function accountsOf(env: Readonly<Record<string, string>>): AccountsConfig {
  return readConfig({ TOKILAKE_DATA_DIR: "/nowhere", ...env }).accounts;
}

test("an address must be verified where mails can be sent, unless it is said otherwise", () => {
  const mail = { TOKILAKE_SMTP_URL: "smtps://hub:hunter2@mail.example:465", TOKILAKE_MAIL_FROM: "hub@ai.example" };

  assert.equal(accountsOf({}).requiresVerifiedEmail, false);
  assert.equal(accountsOf(mail).requiresVerifiedEmail, true);
  assert.equal(accountsOf({ ...mail, TOKILAKE_EMAIL_VERIFICATION: "optional" }).requiresVerifiedEmail, false);
  assert.equal(accountsOf({ TOKILAKE_EMAIL_VERIFICATION: "required" }).requiresVerifiedEmail, true);
});

test("GitHub and Google need a client only; others say where they are", () => {
  const { providers } = accountsOf({
    TOKILAKE_OIDC_GITHUB_CLIENT_ID: "gh",
    TOKILAKE_OIDC_GITHUB_CLIENT_SECRET: "s",
    TOKILAKE_OIDC_GOOGLE_CLIENT_ID: "goo",
    TOKILAKE_OIDC_MY_CORP_ISSUER: "https://id.corp.example/realms/x",
    TOKILAKE_OIDC_MY_CORP_CLIENT_ID: "hub",
    TOKILAKE_OIDC_MY_CORP_CLIENT_SECRET: "",
    TOKILAKE_OIDC_MY_CORP_LABEL: "The Corporation",
  });

  assert.deepEqual(providers, [
    { name: "github", label: "GitHub", issuer: "https://github.com", clientId: "gh", clientSecret: "s" },
    {
      name: "google",
      label: "Google",
      issuer: "https://accounts.google.com",
      clientId: "goo",
      clientSecret: undefined,
    },
    {
      name: "my-corp",
      label: "The Corporation",
      issuer: "https://id.corp.example/realms/x",
      clientId: "hub",
      clientSecret: undefined,
    },
  ]);
  assert.deepEqual(unknownVariables({ TOKILAKE_OIDC_CORP_ISSUER: "", TOKILAKE_OIDC_CORP_ISUER: "" }), [
    "TOKILAKE_OIDC_CORP_ISUER",
  ]);
});

test("the file sets up providers, the environment adds their secrets", () => {
  using folder = temporaryFolder();
  const corp = { issuer: "https://id.corp.example", clientId: "hub" };
  writeFileSync(folder.file("tokilake.json"), JSON.stringify({ providers: { corp } }));

  const config = readConfig({ TOKILAKE_DATA_DIR: folder.path, TOKILAKE_OIDC_CORP_CLIENT_SECRET: "s" });

  assert.deepEqual(config.accounts.providers, [{ name: "corp", label: "Corp", ...corp, clientSecret: "s" }]);
});

test("a provider is reached over https, and half a provider is a mistake", () => {
  const issuer = (url: string): AccountsConfig =>
    accountsOf({ TOKILAKE_OIDC_CORP_ISSUER: url, TOKILAKE_OIDC_CORP_CLIENT_ID: "hub" });

  assert.equal(issuer("http://127.0.0.1:9").providers.length, 1);
  for (const bad of ["http://id.corp.example", "http://127.0.0.1.evil.example", "ftp://localhost", "corp"]) {
    assert.throws(() => issuer(bad), /TOKILAKE_OIDC_CORP_ISSUER must be an https address/, bad);
  }
  assert.throws(() => accountsOf({ TOKILAKE_OIDC_CORP_CLIENT_ID: "hub" }), /TOKILAKE_OIDC_CORP_ISSUER/);
  assert.throws(
    () => accountsOf({ TOKILAKE_OIDC_GITHUB_CLIENT_SECRET: "hunter2" }),
    (error: Error) => /TOKILAKE_OIDC_GITHUB_CLIENT_ID is missing/.test(error.message) && !/hunter2/.test(error.message),
  );
  const many = Array.from({ length: 21 }, (_, count) => [`TOKILAKE_OIDC_P${count}_CLIENT_ID`, "x"]);
  assert.throws(() => accountsOf(Object.fromEntries(many)), /more than 20 sign-in providers/);
});
