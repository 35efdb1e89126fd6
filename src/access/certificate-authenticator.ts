/**
 * Clients that are known by the TLS certificate which they came with, and which the platform has verified.
 *
 * It never refuses. A certificate that is nobody's says no more than none: where the platform asks for one, each client has
 * one, and who it is may be said by a password. Neither does it overrule a user name: a client that calls itself something
 * else has to prove that it is, by a password of that user.
 */

import { identityOf } from "../core/authentication/asking.ts";
import type { Certificate, Credentials, Verdict } from "../core/authentication/identity.ts";
import { wrongName } from "../core/authentication/user-name.ts";
import type { Authenticator } from "./authenticator.ts";
import type { CertificateUsers } from "./certificate-settings.ts";
import { isCalled } from "./token-identity.ts";

export class CertificateAuthenticator implements Authenticator {
  readonly name = "certificate";
  readonly #users: CertificateUsers;

  constructor(users: CertificateUsers) {
    this.#users = users;
  }

  authenticate({ arrival: { certificate }, username }: Credentials, now: number): Verdict {
    // It was verified when the client came; its identity may be asked for again much later.
    if (!certificate || certificate.expiresAt <= now) return { type: "passed" };
    const user = this.#user(certificate);
    if (user === undefined || (username && !isCalled(user, username))) return { type: "passed" };
    return { type: "accepted", identity: { ...identityOf(user), expiresAt: certificate.expiresAt } };
  }

  #user({ commonName, fingerprint }: Certificate): string | undefined {
    if (this.#users !== "common-name") return this.#users.get(fingerprint);
    // As with a token's: what only becomes the name of a user by SASLprep is not that name.
    return commonName === undefined || wrongName(commonName) !== undefined ? undefined : commonName;
  }
}
