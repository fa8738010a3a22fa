import { domainToASCII } from "node:url";

import { AppError } from "../errors.ts";

/** RFC 5321 §4.5.3.1: 64 before the @, 254 in all (errata 1690). */
const MAX_LOCAL_LENGTH = 64;
const MAX_LENGTH = 254;

/** RFC 5322 §3.2.3, a dot-atom of ASCII. Quoted local parts exist in standards only. */
const LOCAL = /^[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*$/;

/** What a domain may be written with before IDNA: no percent signs or other things that a URL parser would undo. */
const WRITTEN_DOMAIN = /^[\p{L}\p{M}\p{N}.-]+$/u;
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/**
 * The one form of an e-mail address, by which users are told apart: lower case, the domain as IDNA writes it in ASCII.
 *
 * Before the @ only ASCII is taken: letters of other alphabets look like ours, and two people must not have addresses that
 * look the same. In a domain they become `xn--…`, which looks like nothing else.
 *
 * @throws AppError `invalid_request` with `param`.
 */
export function normaliseEmail(given: string, param = "email"): string {
  const text = given.trim();
  const at = text.lastIndexOf("@");
  if (at < 1 || at === text.length - 1 || text.length > MAX_LENGTH) throw invalid(param, "is no e-mail address.");
  const local = localPartOf(text.slice(0, at), param);
  const email = `${local}@${domainOf(text.slice(at + 1), param)}`;
  if (email.length > MAX_LENGTH) throw invalid(param, "is longer than an e-mail address may be.");
  return email;
}

function localPartOf(given: string, param: string): string {
  // Checked before the case is changed: the Kelvin sign would become an ASCII k.
  // oxlint-disable-next-line no-control-regex -- all of ASCII is meant; LOCAL refuses its control characters
  if (!/^[\x00-\x7f]+$/.test(given)) {
    throw invalid(param, "has a letter in front of the @ that is not one of a to z, though it may look like one.");
  }
  const local = given.toLowerCase();
  if (local.length > MAX_LOCAL_LENGTH || !LOCAL.test(local)) throw invalid(param, "is no e-mail address.");
  return local;
}

function domainOf(given: string, param: string): string {
  const domain = WRITTEN_DOMAIN.test(given) ? domainToASCII(given) : "";
  const labels = domain.split(".");
  // A last label of digits alone is an IPv4 address.
  const isName = labels.every((label) => LABEL.test(label)) && !/^\d+$/.test(labels.at(-1) ?? "");
  if (!isName) throw invalid(param, "has no domain name behind the @.");
  return domain;
}

function invalid(param: string, what: string): AppError {
  return new AppError("invalid_request", `"${param}" ${what}`, { param });
}
