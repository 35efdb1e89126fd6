/** Who a token that has been verified is about. */

import type { JWTPayload } from "jose";
import { saslprep } from "../core/authentication/saslprep.ts";
import type { Identity } from "../core/authentication/identity.ts";
import { utf8Length } from "../mqtt/utf8.ts";
import { isTenantName } from "../names.ts";
import { wrongName } from "../core/authentication/user-name.ts";
import { tokenRules, WrongClaim } from "./token-rules.ts";
import type { TokenSettings } from "./token-settings.ts";

/** The year 9999 ends. What is later is no date, and in milliseconds no number that could be trusted. */
export const DATE_SECONDS_MAX = 253_402_300_799;

const CLAIMS_MAX = 64;
const CLAIM_NAME_BYTES_MAX = 64;
const CLAIM_VALUE_BYTES_MAX = 256;

/**
 * A claim that a setting names and that cannot be what it is for makes the token wrong: nobody gets less or more than the
 * issuer meant.
 *
 * @throws WrongClaim
 */
export function tokenIdentity(payload: JWTPayload, settings: TokenSettings): Identity {
  const { userClaim, clientIdClaim, tenantClaim, aclClaim, leewaySeconds } = settings;
  return {
    user: named(userClaim, () => user(own(payload, userClaim))),
    expiresAt: named("exp", () => expiry(payload.exp, leewaySeconds)),
    clientId:
      clientIdClaim === undefined ? undefined : named(clientIdClaim, () => clientId(own(payload, clientIdClaim))),
    tenant: tenantClaim === undefined ? undefined : named(tenantClaim, () => tenant(own(payload, tenantClaim))),
    rules: named(aclClaim, () => tokenRules(own(payload, aclClaim))),
    claims: claims(payload),
  };
}

function own(payload: JWTPayload, claim: string): unknown {
  return Object.hasOwn(payload, claim) ? payload[claim] : undefined;
}

function named<T>(claim: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof WrongClaim ? new WrongClaim(`its claim ${claim} ${error.message}`) : error;
  }
}

/**
 * It has to be written as SASLprep leaves it. To an issuer "admin" in wide letters is somebody else than "admin" (RFC 7519
 * §4.1.2), so it must not become "admin" here.
 */
export function user(claim: unknown): string {
  if (typeof claim !== "string") throw new WrongClaim("is not text");
  const wrong = wrongName(claim);
  if (wrong !== undefined) throw new WrongClaim(wrong);
  return claim;
}

/** Whether a client that calls itself so in CONNECT means this user. */
export function isCalled(user: string | undefined, username: string): boolean {
  return user !== undefined && saslprep(username) === user;
}

function expiry(exp: number | undefined, leewaySeconds: number): number | undefined {
  if (exp === undefined) return undefined;
  if (exp > DATE_SECONDS_MAX) throw new WrongClaim("is not a date");
  return (exp + leewaySeconds) * 1000;
}

export function clientId(claim: unknown): string | undefined {
  if (claim === undefined) return undefined;
  if (typeof claim === "string" && claim !== "" && claim.isWellFormed() && !claim.includes("\0")) return claim;
  throw new WrongClaim("is not a client id");
}

/** Without one it would be in whichever name space it came to, which the issuer may not have meant. */
function tenant(claim: unknown): string {
  if (typeof claim === "string" && isTenantName(claim)) return claim;
  throw new WrongClaim("is not the name of a tenant");
}

/**
 * Text, numbers and truth values. What is too long for a topic is left out, and so is a number written with an exponent,
 * whose sign would be a wildcard. A token with more of them than most have is wrong, because which ones are kept would
 * depend on their order.
 */
export function claims(payload: Readonly<Record<string, unknown>>): Map<string, string> {
  const kept = new Map<string, string>();
  for (const [name, value] of Object.entries(payload)) {
    const text = typeof value === "number" || typeof value === "boolean" ? String(value) : value;
    if (typeof text !== "string" || (typeof value === "number" && !/^-?\d+(\.\d+)?$/.test(text))) continue;
    if (utf8Length(name) > CLAIM_NAME_BYTES_MAX || utf8Length(text) > CLAIM_VALUE_BYTES_MAX) continue;
    if (text.includes("\0") || !text.isWellFormed()) continue;
    kept.set(name, text);
    if (kept.size > CLAIMS_MAX) throw new WrongClaim(`it has more than ${CLAIMS_MAX} claims`);
  }
  return kept;
}
