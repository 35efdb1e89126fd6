/**
 * What SCRAM needs to know of a password (RFC 5802 §3): it checks a password and a SCRAM proof, and whoever reads it can
 * do neither without guessing the password first.
 */

import { decodeUtf8, encodeUtf8 } from "../../mqtt/utf8.ts";
import type { Cryptography } from "../ports.ts";
import { saslprep } from "./saslprep.ts";

/** Stored by operators in `USERS`: the names and meanings are frozen. */
export interface Verifier {
  readonly salt: Uint8Array;
  /** Of PBKDF2 with HMAC-SHA-256. */
  readonly iterations: number;
  /** SHA-256 of what the client proves to have, 32 bytes. */
  readonly storedKey: Uint8Array;
  /** What the broker proves to have, 32 bytes. */
  readonly serverKey: Uint8Array;
}

const CLIENT_KEY = encodeUtf8("Client Key");
const SERVER_KEY = encodeUtf8("Server Key");

/**
 * What is kept of a password.
 *
 * @throws RangeError when SASLprep does not allow the password
 */
export function verifierOf(
  password: string,
  salt: Uint8Array,
  iterations: number,
  cryptography: Cryptography,
): Verifier {
  const prepared = saslprep(password);
  if (prepared === undefined) throw new RangeError("a password may not contain control characters and their like");
  return verifierOfBytes(encodeUtf8(prepared), salt, iterations, cryptography);
}

/** Whether this is the password, as SASLprep leaves it. Takes the same work for one that no user can have. */
export function verifies(
  { salt, iterations, storedKey }: Verifier,
  password: Uint8Array,
  cryptography: Cryptography,
): boolean {
  const prepared = preparedBytes(password);
  const tried = verifierOfBytes(prepared ?? password, salt, iterations, cryptography);
  return cryptography.equal(tried.storedKey, storedKey) && prepared !== undefined;
}

function verifierOfBytes(
  password: Uint8Array,
  salt: Uint8Array,
  iterations: number,
  { sha256, hmacSha256, pbkdf2Sha256 }: Cryptography,
): Verifier {
  const salted = pbkdf2Sha256(password, salt, iterations);
  return {
    salt,
    iterations,
    storedKey: sha256(hmacSha256(salted, CLIENT_KEY)),
    serverKey: hmacSha256(salted, SERVER_KEY),
  };
}

/** Returns undefined for bytes that are not UTF-8, and for text that SASLprep does not allow. */
function preparedBytes(password: Uint8Array): Uint8Array | undefined {
  try {
    const prepared = saslprep(decodeUtf8(password, 0, password.length));
    return prepared === undefined ? undefined : encodeUtf8(prepared);
  } catch {
    return undefined;
  }
}
