/** A user name and its password in CONNECT. */

import { identityOf } from "../core/authentication/asking.ts";
import type { Credentials, Verdict } from "../core/authentication/identity.ts";
import { saslprep } from "../core/authentication/saslprep.ts";
import { describeUser, type Users } from "../core/authentication/users.ts";
import { Reason } from "../mqtt/reason.ts";
import type { Authenticator } from "./authenticator.ts";

export class PasswordAuthenticator implements Authenticator {
  readonly name = "password";
  readonly #users: Users;

  constructor(users: Users) {
    this.#users = users;
  }

  authenticate({ username, password }: Credentials): Verdict {
    const user = username === undefined ? undefined : saslprep(username);
    if (!user || !password) return { type: "passed" };
    // A name that nobody has takes as long, and somebody else may have it.
    if (this.#users.accepts(user, password)) return { type: "accepted", identity: identityOf(user) };
    if (!this.#users.has(user)) return { type: "passed" };
    return { type: "refused", reason: Reason.BadUserNameOrPassword, detail: `${describeUser(user)}: wrong password` };
  }
}
