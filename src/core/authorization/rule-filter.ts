/**
 * The filter of a rule, in which names stand for what is known of a client, and what becomes of it for one client.
 *
 * A client chooses its client id, often its user name too, and these are put where an operator means one level of a topic.
 * What has a meaning of its own in a filter must not get there, or a client called `#` would be given everything. In doubt
 * an allow rule gives nothing, and a deny rule takes away whatever it could mean:
 *
 * | the value | in an allow rule | in a deny rule |
 * |---|---|---|
 * | is missing or empty | nothing | nothing |
 * | has `+`, `#` or U+0000 | nothing | its level is `+` |
 * | has `/` | nothing | as it is |
 * | begins with `$`, at the beginning of the filter | nothing | as it is |
 * | else | as it is | as it is |
 *
 * - *Missing.* A rule about the topics of somebody says nothing of those who are nobody: there are no such topics. Whoever
 *   leaves a name out to get around a deny rule has what anybody of another name has, for each single topic.
 * - *Wildcards.* No topic contains them, so taken literally a deny rule would say nothing, and a client could choose an id
 *   that makes `#` overlap no deny rule. As `+` it denies what it denies to anybody of any name.
 * - *`/`.* `devices/%c/#` for a client `a/b` lies in what a client `a` was given. A deny rule for it names exactly its topics.
 * - *`$`.* `%u/#` for a user `$SYS` would be the server's own topics [MQTT §4.7.2], which no wildcard gives [MQTT-4.7.2-1].
 *
 * Nothing is normalised [MQTT-4.7.3-4]: a name that looks like another is another.
 */

import { hasWildcard, validateTopicFilter } from "../../mqtt/topic.ts";
import type { Rule } from "./rule.ts";

/** What a rule may name of a client. */
export interface Subject {
  /** Undefined: nobody in particular. */
  readonly user: string | undefined;
  readonly clientId: string;
  readonly claims: ReadonlyMap<string, string>;
}

type Value = (subject: Subject) => string | undefined;

/** A claim may be called whatever its issuer likes, `https://example.com/site` for one. */
const REFERENCE = /%(?:([uc%])|\{([^}]+)\})?/gu;
const VALUES: Record<string, Value> = {
  u: ({ user }) => user,
  c: ({ clientId }) => clientId,
};
/** The protocol's own: a rule is not the client's, and one that is deeper than its topics does no harm. */
const LIMITS = { topicBytesMax: 65_535, topicLevelsMax: 65_535 };

export class RuleFilter {
  /** Of each level the parts that it is put together from; no text among them is empty. */
  readonly #levels: readonly (readonly (string | Value)[])[];
  /** Undefined where it depends on who the client is. */
  readonly constant: string | undefined;

  /** @throws RangeError saying what is wrong, in words that follow "the filter" */
  constructor(text: string) {
    if (text.startsWith("$share/")) {
      throw new RangeError("is a shared one: a rule is about what follows $share/ and the group");
    }
    const levels: (string | Value)[][] = [[]];
    let plain = "";
    let constant = true;
    const literal = (piece: string): void => {
      plain += piece;
      for (const [at, level] of piece.split("/").entries()) {
        if (at > 0) levels.push([]);
        if (level !== "") levels.at(-1)!.push(level);
      }
    };
    let end = 0;
    for (const { 0: reference, 1: letter, 2: claim, index } of text.matchAll(REFERENCE)) {
      if (reference === "%") throw new RangeError("has a % that is none of %u, %c, %{claim} and %%");
      literal(text.slice(end, index));
      end = index + reference.length;
      if (letter === "%") {
        literal("%");
        continue;
      }
      levels.at(-1)!.push(claim === undefined ? VALUES[letter!]! : ({ claims }) => claims.get(claim));
      // Where it is put, a name is a part of one level and no wildcard.
      plain += "x";
      constant = false;
    }
    literal(text.slice(end));
    try {
      validateTopicFilter(plain, LIMITS);
    } catch (error) {
      throw new RangeError((error as Error).message.replace(/^a filter /u, ""), { cause: error });
    }
    this.#levels = levels;
    this.constant = constant ? plain : undefined;
  }

  /** The filter for one client; undefined: the rule says nothing of it. */
  of(subject: Subject, effect: Rule["effect"]): string | undefined {
    if (this.constant !== undefined) return this.constant;
    const levels: string[] = [];
    for (const parts of this.#levels) {
      let level = "";
      for (const part of parts) {
        if (typeof part === "string") {
          level += part;
          continue;
        }
        const value = part(subject);
        if (!value) return undefined;
        const unplaceable = hasWildcard(value) || value.includes("\0");
        const reaching = value.includes("/") || (value.startsWith("$") && levels.length === 0 && level === "");
        if (effect === "allow" && (unplaceable || reaching)) return undefined;
        if (unplaceable) {
          level = "+";
          break;
        }
        level += value;
      }
      levels.push(level);
    }
    return levels.join("/");
  }
}
