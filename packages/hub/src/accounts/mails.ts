import type { Mail } from "./outbox.ts";

/** The mails that the hub writes. Nothing in them comes from who caused them: a stranger cannot make the hub say his words. */

export function verificationMail(to: string, link: string): Mail {
  return mail(to, "Verify your e-mail address", [
    "Somebody, hopefully you, gave this address for an account on a Tokilake hub.",
    "This link shows that it is yours; it asks for the account's password. It works once, for 24 hours:",
    link,
    "If it was not you, do nothing: without the link the account stays unverified.",
  ]);
}

export function alreadyRegisteredMail(to: string, signInLink: string): Mail {
  return mail(to, "You have an account already", [
    "Somebody, hopefully you, tried to make an account with this address on a Tokilake hub.",
    "There is one already. Sign in here, or ask for a new password there:",
    signInLink,
    "If it was not you, do nothing.",
  ]);
}

export function resetMail(to: string, link: string): Mail {
  return mail(to, "Choose a new password", [
    "Somebody, hopefully you, asked for a new password for your account on a Tokilake hub.",
    "Choose it here. The link works once, for one hour:",
    link,
    "If it was not you, do nothing: your password stays as it is.",
  ]);
}

export function changeOfAddressMail(to: string, link: string): Mail {
  return mail(to, "Verify your new e-mail address", [
    "Somebody, hopefully you, wants to use this address for an account on a Tokilake hub.",
    "This link makes it the account's address. It works once, for 24 hours:",
    link,
    "If it was not you, do nothing.",
  ]);
}

/** To the address from before, whose owner should know. */
export function addressChangedMail(to: string): Mail {
  return mail(to, "Your e-mail address was changed", [
    "Your account on a Tokilake hub has another e-mail address from now on.",
    "If it was not you, ask who runs the hub to disable the account.",
  ]);
}

export function passwordChangedMail(to: string): Mail {
  return mail(to, "Your password was changed", [
    "The password of your account on a Tokilake hub was changed, and it was signed out everywhere else.",
    "If it was not you, ask for a new password on the hub's sign-in page at once.",
  ]);
}

function mail(to: string, subject: string, paragraphs: readonly string[]): Mail {
  return { to, subject, text: `${paragraphs.join("\n\n")}\n` };
}
