/**
 * Somebody who wants to be the user of a name: that user, or for a name that nobody has somebody made up, who looks like one
 * of the users and takes the same work.
 */

import { encodeUtf8 } from "../../mqtt/utf8.ts";
import type { Cryptography } from "../ports.ts";
import { isOutdated, matches } from "./password-hash.ts";
import type { Acceptance, User } from "./users.ts";
import { type Verifier, verifies } from "./verifier.ts";

export interface Candidate {
  readonly name: string;
  /** What is kept of the user; of a name that nobody has, what is kept of the user that it is like. */
  readonly user: User;
  /** Nothing that a peer sees may depend on it before its password or its proof is wrong. */
  readonly known: boolean;
}

/**
 * Whether the candidate is known and this is the password; undefined if not. Takes a user's work either way.
 *
 * Who has both a verifier and a hash is checked by the verifier: so the same passwords are right in CONNECT and in SCRAM,
 * it costs a third for as many iterations, and as both are of one password the other would prove no more.
 *
 * @param iterations of PBKDF2 with HMAC-SHA-512: a hash of fewer is outdated
 */
export function accepts(
  { name, user, known }: Candidate,
  password: Uint8Array,
  cryptography: Cryptography,
  iterations: number,
): Acceptance | undefined {
  const right = user.verifier
    ? verifies(user.verifier, password, cryptography)
    : matches(user.hash, password, cryptography);
  if (!right || !known) return undefined;
  return { user: name, outdated: user.hash !== undefined && isOutdated(user.hash, iterations) };
}

/**
 * A verifier that nobody can satisfy, the same each time.
 *
 * @param like how long its salt is, and how many iterations it asks for
 */
export function inventVerifier(
  name: string,
  secret: Uint8Array,
  { salt, iterations }: Pick<Verifier, "salt" | "iterations">,
  { sha256, hmacSha256 }: Cryptography,
): Verifier {
  const bytes = hmacSha256(secret, encodeUtf8(name));
  const key = sha256(bytes);
  return { salt: bytes.subarray(0, salt.length), iterations, storedKey: key, serverKey: key };
}

/** What chance decides of a name, always the same. No name has a zero, so no salt shows anything of this. */
export function lotOf(name: string, secret: Uint8Array, { hmacSha256 }: Cryptography): Uint8Array {
  return hmacSha256(secret, encodeUtf8(`\0${name}`));
}
