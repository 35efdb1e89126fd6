/**
 * Which topics does a filter match, all of them taken together? Of two filters: does the one match whatever the other
 * does, and is there a topic that both match?
 *
 * Both answers are exact, for the topics that can be published (`test/mqtt/topic-set.test.ts`). Three things in them are
 * easily overlooked:
 *
 * - `a/#` matches `a` too (§4.7.1.2), so a set that is open at its end begins with the levels before the `#`;
 * - a topic has at least one level, and it is not all of an empty one: `#` is the same set as `+/#`, and `/#` as `/+/#`;
 * - a wildcard as the first level matches no topic that begins with `$` [MQTT-4.7.2-1], deeper down it matches any level.
 */
export class TopicSet {
  readonly #levels: readonly string[];
  /** Whether any number of levels may follow. */
  readonly #open: boolean;

  /** @param filter a valid one without `$share/group/`; a topic is the set of itself */
  constructor(filter: string) {
    const levels = filter.split("/");
    this.#open = levels.at(-1) === "#";
    if (filter === "#" || filter === "/#") levels[levels.length - 1] = "+";
    else if (this.#open) levels.pop();
    this.#levels = levels;
  }

  /** Whether each topic of the other set is in this one. */
  covers(other: TopicSet): boolean {
    const wide = this.#levels;
    const narrow = other.#levels;
    if (this.#open ? wide.length > narrow.length : other.#open || wide.length !== narrow.length) return false;
    if (wide[0] === "+" && isReserved(narrow)) return false;
    // From its end, as filters that are asked together often begin alike.
    for (let at = wide.length - 1; at >= 0; at--) {
      if (wide[at] !== "+" && wide[at] !== narrow[at]) return false;
    }
    return true;
  }

  /** Whether some topic is in both sets. */
  overlaps(other: TopicSet): boolean {
    const one = this.#levels;
    const another = other.#levels;
    const shared = Math.min(one.length, another.length);
    if ((one.length > shared && !other.#open) || (another.length > shared && !this.#open)) return false;
    if ((one[0] === "+" && isReserved(another)) || (another[0] === "+" && isReserved(one))) return false;
    for (let at = shared - 1; at >= 0; at--) {
      if (one[at] !== "+" && another[at] !== "+" && one[at] !== another[at]) return false;
    }
    return true;
  }
}

function isReserved(levels: readonly string[]): boolean {
  return levels[0]!.startsWith("$");
}
