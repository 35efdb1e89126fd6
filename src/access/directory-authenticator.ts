/**
 * A user name and its password in CONNECT, for users of the settings and of the directory. A name that the settings have is
 * that of their user, whatever the directory says.
 *
 * What is wrong takes one look into the directory and the work of one password, whoever the name belongs to and if it belongs
 * to nobody; a password that is right may take less.
 */

import { identityOf } from "../core/authentication/asking.ts";
import { accepts } from "../core/authentication/candidate.ts";
import type { Credentials, Verdict } from "../core/authentication/identity.ts";
import { ITERATIONS } from "../core/authentication/password-hash.ts";
import { saslprep } from "../core/authentication/saslprep.ts";
import { wrongName } from "../core/authentication/user-name.ts";
import { describeUser, type Users } from "../core/authentication/users.ts";
import type { Found } from "../core/directory/directory.ts";
import { mend } from "../core/directory/keeping.ts";
import { cryptography } from "../edge/cryptography.ts";
import { Reason } from "../mqtt/reason.ts";
import type { Authenticator } from "./authenticator.ts";
import type { Directory } from "./directory.ts";

const PASSED: Verdict = { type: "passed" };

export class DirectoryAuthenticator implements Authenticator {
  readonly name = "directory";
  readonly #directory: Directory;
  readonly #users: Users | undefined;

  /** @param users those of the settings */
  constructor(directory: Directory, users: Users | undefined) {
    this.#directory = directory;
    this.#users = users;
  }

  authenticate({ username, password }: Credentials, now: number): Verdict | Promise<Verdict> {
    const user = username === undefined ? undefined : saslprep(username);
    if (!user || !password || wrongName(user) !== undefined) return PASSED;
    return this.#users?.has(user) ? this.#own(user, password, now) : this.#kept(user, password, now);
  }

  async #own(user: string, password: Uint8Array, now: number): Promise<Verdict> {
    if (this.#users!.accepts(user, password)) return { type: "accepted", identity: identityOf(user) };
    // For its time alone.
    await this.#directory.find(user, now).catch(() => undefined);
    return wrong(user);
  }

  async #kept(user: string, password: Uint8Array, now: number): Promise<Verdict> {
    const before = this.#directory.known(user, now);
    if (before && this.#accepts(before, password)) return acceptance(before);
    const found = await this.#directory.find(user, now);
    const isOther = found.passwordVersion !== before?.passwordVersion;
    if (isOther && this.#accepts(found, password)) return acceptance(found);
    // Somebody else may have the name.
    return found.known ? wrong(user) : PASSED;
  }

  #accepts(found: Found, password: Uint8Array): boolean {
    if (!accepts(found, password, cryptography, ITERATIONS)) return false;
    const mended = mend(found.user, password, found.verifier.salt, cryptography);
    if (mended) this.#directory.learn(found, mended);
    return true;
  }
}

function acceptance({ name, version }: Found): Verdict {
  return { type: "accepted", identity: { ...identityOf(name), asOf: version } };
}

function wrong(user: string): Verdict {
  return { type: "refused", reason: Reason.BadUserNameOrPassword, detail: `${describeUser(user)}: wrong password` };
}
