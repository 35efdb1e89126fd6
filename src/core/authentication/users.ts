/**
 * Who may connect, and is this their password?
 *
 * What is known of a user are SCRAM verifiers (RFC 5802 §3). They check a password and a SCRAM proof, and whoever reads
 * them can do neither without guessing the password first.
 *
 * A name that nobody has is treated as a user whose password nobody knows: the same salt each time, the same work.
 */

import { encodeUtf8 } from "../../mqtt/utf8.ts";
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

/** A salt is as long as what one is made up of for a name that nobody has. */
export const SALT_BYTES_MAX = 32;

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
  { sha256, hmacSha256, pbkdf2Sha256 }: Cryptography,
): Verifier {
  const prepared = saslprep(password);
  if (prepared === undefined) throw new RangeError("a password may not contain control characters and their like");
  const salted = pbkdf2Sha256(encodeUtf8(prepared), salt, iterations);
  return {
    salt,
    iterations,
    storedKey: sha256(hmacSha256(salted, CLIENT_KEY)),
    serverKey: hmacSha256(salted, SERVER_KEY),
  };
}

export class Users {
  readonly #verifiers: ReadonlyMap<string, Verifier>;
  readonly #cryptography: Cryptography;
  #secret: Uint8Array | undefined;

  /** @param verifiers at least one, by names as {@link saslprep} leaves them */
  constructor(verifiers: ReadonlyMap<string, Verifier>, cryptography: Cryptography) {
    this.#verifiers = verifiers;
    this.#cryptography = cryptography;
  }

  /** The verifier of a user, or one made up. Nothing that a peer sees may depend on `known` before its proof is wrong. */
  find(name: string): { readonly verifier: Verifier; readonly known: boolean } {
    const verifier = this.#verifiers.get(name);
    const invented = this.#invent(name);
    return { verifier: verifier ?? invented, known: verifier !== undefined };
  }

  /** Whether the user exists and has this password. Takes the user's iterations of PBKDF2 either way. */
  accepts(name: string, password: string): boolean {
    const { verifier, known } = this.find(name);
    if (saslprep(password) === undefined) return false;
    const { storedKey } = verifierOf(password, verifier.salt, verifier.iterations, this.#cryptography);
    return this.#cryptography.equal(storedKey, verifier.storedKey) && known;
  }

  /** As long as the users are the same, so is what is made up, whichever isolate does it. */
  #invent(name: string): Verifier {
    const { sha256, hmacSha256 } = this.#cryptography;
    const verifiers = [...this.#verifiers.values()];
    this.#secret ??= sha256(joined(verifiers.flatMap(({ storedKey, serverKey }) => [storedKey, serverKey])));
    const bytes = hmacSha256(this.#secret, encodeUtf8(name));
    // It looks like one of the others.
    const model = verifiers[bytes[SALT_BYTES_MAX - 1]! % verifiers.length]!;
    const key = sha256(bytes);
    return {
      salt: bytes.subarray(0, model.salt.length),
      iterations: model.iterations,
      storedKey: key,
      serverKey: key,
    };
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** For logs: a name may be as long as its client likes. */
export function describeUser(user: string): string {
  return `user "${user.length > 64 ? `${user.slice(0, 64)}…` : user}"`;
}
