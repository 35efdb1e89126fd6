/**
 * What is kept of a password that is only ever compared, as Mosquitto keeps it in its `password_file`:
 *
 *     $7$<iterations>$<salt>$<hash>    PBKDF2 with HMAC-SHA-512   mosquitto_passwd -H sha512-pbkdf2
 *     $6$<salt>$<hash>                 SHA-512, once              mosquitto_passwd -H sha512, and before Mosquitto 2.0
 *
 * Salt and hash are in base 64. A password is bytes, and is compared byte for byte: without SASLprep, unlike in SCRAM. (It is
 * the key of an HMAC, which takes zero bytes at its end for none.)
 */

import type { Cryptography } from "../ports.ts";
import { decodeBase64, encodeBase64 } from "./base64.ts";

export type PasswordHash =
  | {
      readonly type: "pbkdf2";
      /** 1 to {@link PBKDF2_ITERATIONS_MAX}. */
      readonly iterations: number;
      readonly salt: Uint8Array;
      /** 64 bytes. */
      readonly hash: Uint8Array;
    }
  /** Of the password and then the salt. */
  | { readonly type: "sha512"; readonly salt: Uint8Array; readonly hash: Uint8Array };

/** The platform's PBKDF2 does no more, and refuses what asks for it; workerd on one's own machine does not. */
export const PBKDF2_ITERATIONS_MAX = 100_000;

/**
 * Today's cost, and that of a verifier too: 3.4 ms of workerd on the machine of the benchmarks, in which the Worker's isolate does nothing else, and a
 * thousand clients that come back together do so for 3.4 s. OWASP's 210,000 is more than the platform does; Mosquitto
 * itself takes 101 (2.0) or 1,000 (2.1).
 */
export const ITERATIONS = 10_000;

const HASH_BYTES = 64;
/** What Mosquitto 2.0 writes. 2.1 writes 64, and both read either. */
const SALT_BYTES = 12;
const SALT_BYTES_READ: readonly number[] = [SALT_BYTES, 64];

const WRITTEN = /^\$(?:7\$(?<iterations>[1-9][0-9]*)|6)\$(?<salt>[^$]+)\$(?<hash>[^$]+)$/;

/**
 * What is kept of a password.
 *
 * @throws RangeError when the iterations are not 1 to {@link PBKDF2_ITERATIONS_MAX}
 */
export function hashPassword(
  password: Uint8Array,
  { randomBytes, pbkdf2Sha512 }: Cryptography,
  iterations = ITERATIONS,
): PasswordHash {
  if (!Number.isInteger(iterations) || iterations < 1 || iterations > PBKDF2_ITERATIONS_MAX) {
    throw new RangeError(`iterations must be a whole number from 1 to ${PBKDF2_ITERATIONS_MAX}`);
  }
  const salt = randomBytes(SALT_BYTES);
  return { type: "pbkdf2", iterations, salt, hash: pbkdf2Sha512(password, salt, iterations, HASH_BYTES) };
}

/** Whether this is the password, found out in a time that does not depend on where it is wrong. */
export function matches(
  kept: PasswordHash,
  password: Uint8Array,
  { sha512, pbkdf2Sha512, equal }: Cryptography,
): boolean {
  const { salt, hash } = kept;
  if (kept.type === "pbkdf2") return equal(pbkdf2Sha512(password, salt, kept.iterations, HASH_BYTES), hash);
  const salted = new Uint8Array(password.length + salt.length);
  salted.set(password);
  salted.set(salt, password.length);
  return equal(sha512(salted), hash);
}

/** Whether guessing it costs less than guessing one that is made today. */
export function isOutdated(kept: PasswordHash, iterations = ITERATIONS): boolean {
  return kept.type === "sha512" || kept.iterations < iterations;
}

/** As {@link readPasswordHash} and Mosquitto read it. */
export function writePasswordHash(kept: PasswordHash): string {
  const kind = kept.type === "pbkdf2" ? `7$${kept.iterations}` : "6";
  return `$${kind}$${encodeBase64(kept.salt)}$${encodeBase64(kept.hash)}`;
}

/** @throws RangeError which says what is wrong, as the rest of a sentence about the password, and shows nothing of it */
export function readPasswordHash(text: string): PasswordHash {
  if (text.startsWith("$argon2")) {
    throw new RangeError(
      "is hashed with Argon2, which the platform does not have: hash it again with mosquitto_passwd -H sha512-pbkdf2",
    );
  }
  if (!text.startsWith("$")) throw new RangeError("is plain text: mosquitto_passwd has to hash it");
  const parts = WRITTEN.exec(text)?.groups;
  const salt = decodeBase64(parts?.["salt"] ?? "");
  const hash = decodeBase64(parts?.["hash"] ?? "");
  if (!salt || !SALT_BYTES_READ.includes(salt.length) || hash?.length !== HASH_BYTES) {
    throw new RangeError("is not hashed as mosquitto_passwd does it");
  }
  if (parts?.["iterations"] === undefined) return { type: "sha512", salt, hash };
  const iterations = Number(parts["iterations"]);
  if (iterations > PBKDF2_ITERATIONS_MAX) {
    throw new RangeError(
      `is hashed with more iterations than the ${PBKDF2_ITERATIONS_MAX} that the platform does: hash it again with mosquitto_passwd -H sha512-pbkdf2 -I ${PBKDF2_ITERATIONS_MAX}`,
    );
  }
  return { type: "pbkdf2", iterations, salt, hash };
}
