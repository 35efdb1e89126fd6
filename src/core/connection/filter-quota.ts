/**
 * How much of the broker do the filters of one client take? Not only how many they are: each level may be a node of the
 * tree in which a shard looks for the subscribers of a topic, of some 70 bytes, and a filter with a wildcard in its first
 * levels is on every shard. A publish looks at no more nodes of a client than its filters have levels.
 */

import { Reason } from "../../mqtt/reason.ts";
import { hasWildcard } from "../../mqtt/topic.ts";
import { utf8Length } from "../../mqtt/utf8.ts";
import type { Limits } from "../limits.ts";

export class FilterQuota {
  readonly #limits: Limits;
  #filters = 0;
  #bytes = 0;
  #levels = 0;
  #wildcards = 0;
  #shared = 0;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  add(filter: string): void {
    this.#count(filter, 1);
  }

  remove(filter: string): void {
    this.#count(filter, -1);
  }

  /** Why nobody may have a filter like this. */
  forbids(filter: string): Reason | undefined {
    const { wildcardSubscriptionsMax, sharedSubscriptionsMax } = this.#limits;
    if (wildcardSubscriptionsMax === 0 && hasWildcard(filter)) return Reason.WildcardSubscriptionsNotSupported;
    if (sharedSubscriptionsMax === 0 && isShared(filter)) return Reason.SharedSubscriptionsNotSupported;
    return undefined;
  }

  /** True when the client may have this filter too. */
  fits(filter: string): boolean {
    const limits = this.#limits;
    return (
      this.#filters < limits.subscriptionsMax &&
      this.#bytes + utf8Length(filter) <= limits.subscriptionBytesMax &&
      this.#levels + levelsOf(filter) <= limits.subscriptionLevelsMax &&
      (this.#wildcards < limits.wildcardSubscriptionsMax || !hasWildcard(filter)) &&
      (this.#shared < limits.sharedSubscriptionsMax || !isShared(filter))
    );
  }

  #count(filter: string, by: 1 | -1): void {
    this.#filters += by;
    this.#bytes += by * utf8Length(filter);
    this.#levels += by * levelsOf(filter);
    if (hasWildcard(filter)) this.#wildcards += by;
    if (isShared(filter)) this.#shared += by;
  }
}

/** Those of `$share/<group>/` count. */
function levelsOf(filter: string): number {
  let levels = 1;
  for (let at = filter.indexOf("/"); at >= 0; at = filter.indexOf("/", at + 1)) levels += 1;
  return levels;
}

function isShared(filter: string): boolean {
  return filter.startsWith("$share/");
}
