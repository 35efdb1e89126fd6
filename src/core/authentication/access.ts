/** Who may connect to a tenant, and what they may do, as a connection has to know it at once. */

import type { Policy } from "../authorization/policy.ts";
import type { Bans } from "../bans/bans.ts";
import type { Mechanism } from "./mechanism.ts";

export interface Access {
  /** Undefined: there is none of this name. */
  mechanism(method: string): Mechanism | undefined;
  /** Another one each time that rules have changed. */
  readonly policy: Policy;
  /** Who may not connect, and who is in goes; besides those of the settings, which do not change. Undefined: nobody. */
  readonly bans: Bans | undefined;
  /**
   * Until when what is known of users, rules and bans is to be gone by without asking, in milliseconds since 1970; Infinity where
   * nothing of it changes.
   */
  readonly freshUntil: number;
  /**
   * Each user has client ids of its own, so that none leads to the session of another. A user has no colon in its name, and
   * nobody has no name.
   */
  readonly clientIdsPerUser: boolean;
  /** The same of another tenant. */
  of(tenant: string): Access;
}

/** What the session of a client is called. */
export function sessionOf(
  user: string | undefined,
  clientId: string,
  { clientIdsPerUser }: Pick<Access, "clientIdsPerUser">,
): string {
  return clientIdsPerUser ? `${user ?? ""}:${clientId}` : clientId;
}
