/**
 * Who may connect, and is this their password?
 *
 * A name that nobody has is treated as a user whose password nobody knows: the same salt each time, the same work. Users
 * are not all alike (one has a verifier of so many iterations, another a hash that takes no time), and whoever asks can
 * tell which kind a name is. So a name that nobody has is like one of the users, drawn among all of them, and in every
 * respect like that one: what is found out of it is then as likely of a name that somebody has.
 */

import type { Cryptography } from "../ports.ts";
import { accepts, type Candidate, inventVerifier, lotOf } from "./candidate.ts";
import { ITERATIONS, type PasswordHash } from "./password-hash.ts";
import type { Verifier } from "./verifier.ts";

/** What is kept of a user's password: one of the two, or both, of the same password. */
export type User =
  | { readonly verifier: Verifier; readonly hash?: PasswordHash }
  | { readonly verifier?: undefined; readonly hash: PasswordHash };

/** A password was right. */
export interface Acceptance {
  readonly user: string;
  /** Whether its hash costs less than one that is made today; whoever stores users can now make another one. */
  readonly outdated: boolean;
}

/** A salt is as long as what one is made up of for a name that nobody has. */
export const SALT_BYTES_MAX = 32;

/** What a verifier is like where no user has one: as `npm run user` makes them. */
export const LIKE_ANY: Pick<Verifier, "salt" | "iterations"> = { salt: new Uint8Array(16), iterations: ITERATIONS };

export class Users {
  readonly #users: ReadonlyMap<string, User>;
  readonly #cryptography: Cryptography;
  readonly #iterations: number;
  readonly #all: readonly User[];
  readonly #verifiers: readonly Verifier[];
  #secret: Uint8Array | undefined;

  /**
   * @param users at least one, by names as SASLprep leaves them
   * @param iterations of PBKDF2 with HMAC-SHA-512: a hash of fewer is outdated
   * @param secret what names that nobody has are made up from. Without it that is what is kept of the passwords, so as long
   * as the users are the same, so is what is made up, whichever isolate does it. Where hashes are replaced it has to be
   * given, and stay: names whose salt outlives such a change would be those of users
   */
  constructor(
    users: ReadonlyMap<string, User>,
    cryptography: Cryptography,
    { iterations = ITERATIONS, secret }: { readonly iterations?: number; readonly secret?: Uint8Array } = {},
  ) {
    this.#users = users;
    this.#cryptography = cryptography;
    this.#iterations = iterations;
    this.#all = [...users.values()];
    this.#verifiers = this.#all.flatMap(({ verifier }) => verifier ?? []);
    this.#secret = secret;
  }

  /** Not to be told to a peer whose proof is not right. */
  has(name: string): boolean {
    return this.#users.has(name);
  }

  /**
   * The verifier of a user, or one made up, also for a user who has none. Nothing that a peer sees may depend on `known`
   * before its proof is wrong.
   */
  find(name: string): { readonly verifier: Verifier; readonly known: boolean } {
    const { user, known } = this.candidate(name);
    const invented = this.#invent(name, user);
    return known && user.verifier ? { verifier: user.verifier, known } : { verifier: invented, known: false };
  }

  /** Whether the user exists and has this password; undefined if not. Takes a user's work either way. */
  accepts(name: string, password: Uint8Array): Acceptance | undefined {
    return accepts(this.candidate(name), password, this.#cryptography, this.#iterations);
  }

  /** A user, or for a name that nobody has the one that it is like. */
  candidate(name: string): Candidate {
    const like = this.#draw(name, 0, this.#all)!;
    const user = this.#users.get(name);
    return { name, user: user ?? like, known: user !== undefined };
  }

  /** A verifier like the user's, or if that one has none, like one of those that there are. */
  #invent(name: string, { verifier }: User): Verifier {
    const another = this.#draw(name, 4, this.#verifiers);
    return inventVerifier(name, this.#made(), verifier ?? another ?? LIKE_ANY, this.#cryptography);
  }

  /**
   * One of these, always the same for a name. What is drawn from other bytes is independent of it: that a user without
   * verifier gets the one it gets says nothing of its hash. No name has a zero, so no salt shows anything of this.
   */
  #draw<T>(name: string, at: number, among: readonly T[]): T | undefined {
    const bytes = lotOf(name, this.#made(), this.#cryptography);
    const number = bytes.subarray(at, at + 4).reduce((all, byte) => all * 256 + byte, 0);
    return among[number % among.length];
  }

  #made(): Uint8Array {
    return (this.#secret ??= this.#cryptography.sha256(
      joined(
        this.#all.flatMap(({ verifier, hash }) => [
          ...(verifier ? [verifier.storedKey, verifier.serverKey] : []),
          ...(hash ? [hash.hash] : []),
        ]),
      ),
    ));
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
