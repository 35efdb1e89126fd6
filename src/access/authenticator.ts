/** One way to find out who a client is. */

import type { Credentials, Verdict } from "../core/authentication/identity.ts";

/**
 * Authenticators are asked in a configured order. The first that does not pass decides: what one refuses no later one can
 * accept, and what all pass is nobody in particular.
 *
 * One that cannot tell (a service is away) refuses with ServerUnavailable: closed, not open.
 */
export interface Authenticator {
  /** For logs and settings. */
  readonly name: string;
  /** @param now in milliseconds since 1970 */
  authenticate(credentials: Credentials, now: number): Verdict | Promise<Verdict>;
}
