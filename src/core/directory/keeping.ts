/** What a directory keeps of a password. */

import { decodeUtf8 } from "../../mqtt/utf8.ts";
import { hashPassword, isOutdated, ITERATIONS } from "../authentication/password-hash.ts";
import type { User } from "../authentication/users.ts";
import { type Verifier, verifierOf } from "../authentication/verifier.ts";
import type { Cryptography } from "../ports.ts";

/**
 * A verifier and a hash; of a password that SCRAM cannot have (bytes that are not UTF-8, control characters) a hash alone.
 *
 * @param salt of the verifier: that of the name, as a directory finds it. So what SCRAM shows of a name is the same whoever
 * has it, with every password of it, and if nobody has it
 */
export function keep(password: Uint8Array, salt: Uint8Array, cryptography: Cryptography): User {
  const hash = hashPassword(password, cryptography);
  const verifier = verifierFor(password, salt, cryptography);
  return verifier ? { verifier, hash } : { hash };
}

/**
 * What is to be kept now of a password that has turned out to be right: a verifier where there was none, and a new hash for
 * one that is outdated; undefined where nothing is to be mended.
 *
 * @param salt as for {@link keep}
 */
export function mend(
  { verifier, hash }: User,
  password: Uint8Array,
  salt: Uint8Array,
  cryptography: Cryptography,
): User | undefined {
  const provable = verifier ?? verifierFor(password, salt, cryptography);
  const renewed = hash && (isOutdated(hash) ? hashPassword(password, cryptography) : hash);
  if (provable === verifier && renewed === hash) return undefined;
  if (provable) return { verifier: provable, ...(renewed && { hash: renewed }) };
  return renewed && { hash: renewed };
}

function verifierFor(password: Uint8Array, salt: Uint8Array, cryptography: Cryptography): Verifier | undefined {
  try {
    return verifierOf(decodeUtf8(password, 0, password.length), salt, ITERATIONS, cryptography);
  } catch {
    return undefined;
  }
}
