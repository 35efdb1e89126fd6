/** The deliberate faults: those that the simulated trial has to find, and those that it does not. */

import { CONNECTION, CONNECTION_UNSEEN } from "./connection.ts";
import { LINKS, LINKS_UNSEEN } from "./links.ts";
import type { Mutant, Unseen } from "./mutant.ts";
import { SESSION, SESSION_UNSEEN } from "./session.ts";
import { SHARD, SHARD_UNSEEN } from "./shard.ts";
import { SHARE_GROUPS, SHARE_GROUPS_UNSEEN } from "./share-groups.ts";

/** By the part of the broker that is wrong. */
export const MUTANTS: Readonly<Record<string, readonly Mutant[]>> = {
  connection: CONNECTION,
  session: SESSION,
  shard: SHARD,
  links: LINKS,
  "share groups": SHARE_GROUPS,
};

export const UNSEEN: Readonly<Record<string, readonly Unseen[]>> = {
  connection: CONNECTION_UNSEEN,
  session: SESSION_UNSEEN,
  shard: SHARD_UNSEEN,
  links: LINKS_UNSEEN,
  "share groups": SHARE_GROUPS_UNSEEN,
};
