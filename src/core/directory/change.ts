/** What admins do to a directory, what comes of it, and what is remembered of who did it. */

import type { User } from "../authentication/users.ts";
import type { Rule } from "../authorization/rule.ts";
import type { Ban } from "../bans/bans.ts";

export type Change =
  /** `only`: not unless the user is there already, or is not; undefined: either way. */
  | { readonly type: "putUser"; readonly name: string; readonly user: User; readonly only?: "create" | "replace" }
  | { readonly type: "deleteUser"; readonly name: string }
  /** Users of the same names are replaced. */
  | { readonly type: "importUsers"; readonly users: readonly (readonly [name: string, user: User])[] }
  | { readonly type: "addRule"; readonly rule: Rule }
  | { readonly type: "putRule"; readonly id: number; readonly rule: Rule }
  | { readonly type: "deleteRule"; readonly id: number }
  /** `replacing`: all other rules go. */
  | { readonly type: "importRules"; readonly rules: readonly Rule[]; readonly replacing: boolean }
  | { readonly type: "addBan"; readonly ban: Ban }
  | { readonly type: "putBan"; readonly id: number; readonly ban: Ban }
  | { readonly type: "deleteBan"; readonly id: number };

export type Outcome =
  /** `created` users, rules or bans, and `replaced` ones; `id` of a rule or ban that was added. */
  | { readonly type: "done"; readonly created: number; readonly replaced: number; readonly id: number | undefined }
  /** There is no user, rule or ban of this name, or there is one already: nothing has changed. */
  | { readonly type: "absent" }
  | { readonly type: "present" }
  /** There would be more rules or bans than there may be. */
  | { readonly type: "full"; readonly most: number };

/** One action of an admin that changed something. */
export interface AuditEntry {
  /** Rises by one with each. */
  readonly number: number;
  /** In milliseconds since 1970. */
  readonly at: number;
  /** A fingerprint of the token that was used. */
  readonly who: string;
  readonly what: Change["type"];
  /** The user, the rule or the ban, or how many there were of them. */
  readonly on: string;
}
