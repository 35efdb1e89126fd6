/**
 * What may one client do?
 *
 * An action is allowed if a rule allows it and none denies it; in which order they are written makes no difference. A topic
 * is one that the filter of a rule matches. A subscription is many topics: one allow rule has to cover all that its filter
 * can match, and none of a deny rule may be among them. So what is subscribed to needs no look at its deliveries: whatever
 * comes with it might have been subscribed to by its own name.
 */

import { parseShare } from "../../mqtt/topic.ts";
import { TopicSet } from "../../mqtt/topic-set.ts";
import { ACTION_BITS, type Clause } from "./clause.ts";
import type { Action, Rule } from "./rule.ts";

/**
 * Topics, filters and shares have to be valid. `$SYS/…` may be published to by no client, whatever is said here.
 *
 * Undefined is neither yes nor no: it has to be asked first. Whoever does not ask has to take it for no.
 */
export interface Permissions {
  /** With RETAIN it takes `retain` besides `publish`. */
  mayPublish(topic: string, retain: boolean): boolean | undefined;
  /** `$share/group/filter` is judged by its filter. */
  maySubscribe(filter: string): boolean | undefined;
  /** That a will is published takes `will`, and all that publishing it takes. */
  mayWill(topic: string, retain: boolean): boolean | undefined;
  /** Absent: nothing has to be asked. */
  readonly asked?: Asked;
  /** One action by itself, a topic or a filter, and why: for people who ask, not for packets. */
  explain(action: Action, filter: string): Decision;
}

/** One action by itself, with a topic or a filter. */
export interface Need {
  readonly action: Action;
  readonly filter: string;
}

/** What is known of the answers of somebody who is asked. */
export interface Asked {
  /** What time it is now, in milliseconds since 1970: what was known for so long is known no more. */
  at(now: number): void;
  /** Those of the needs that have to be asked. */
  unknown(needs: readonly Need[]): readonly Need[];
  /**
   * What has been answered, need by need. It is known until {@link Asked.forget}, and of not too many for longer.
   *
   * @param until in milliseconds since 1970
   */
  learn(needs: readonly Need[], allowed: readonly boolean[], until: number): void;
  /** What was asked for is done: only what is known for longer is known from here on. */
  forget(): void;
}

/** What publishing a message takes, or having a will. */
export function publishing(topic: string, retain: boolean, will = false): readonly Need[] {
  const actions: Action[] = ["publish", ...(retain ? (["retain"] as const) : []), ...(will ? (["will"] as const) : [])];
  return actions.map((action) => ({ action, filter: topic }));
}

/** What subscribing with a filter takes. */
export function subscribing(filter: string): Need {
  return { action: "subscribe", filter: parseShare(filter)?.filter ?? filter };
}

export interface Decision {
  readonly allowed: boolean;
  /** The rule that denies it, or one that allows it; undefined where none says anything. */
  readonly by: Rule | undefined;
}

/** What a client may that no rule is about, where there are none. */
export const EVERYTHING: Permissions = {
  mayPublish: () => true,
  maySubscribe: () => true,
  mayWill: () => true,
  explain: () => ({ allowed: true, by: undefined }),
};

/** What a client may that is nobody any more. */
export const NOTHING: Permissions = {
  mayPublish: () => false,
  maySubscribe: () => false,
  mayWill: () => false,
  explain: () => ({ allowed: false, by: undefined }),
};

/** A publisher uses few topics again and again; beyond that many each is decided anew. */
const TOPICS_MAX = 64;

const { publish: PUBLISH, subscribe: SUBSCRIBE, retain: RETAIN, will: WILL } = ACTION_BITS;
const PUBLISHING = PUBLISH | RETAIN | WILL;

export class RuledPermissions implements Permissions {
  readonly #allowing: readonly Clause[];
  readonly #denying: readonly Clause[];
  /** What publishing to a topic may be, of {@link PUBLISHING}. */
  readonly #topics = new Map<string, number>();

  constructor(clauses: readonly Clause[]) {
    this.#allowing = clauses.filter(({ rule }) => rule.effect === "allow");
    this.#denying = clauses.filter(({ rule }) => rule.effect === "deny");
  }

  mayPublish(topic: string, retain: boolean): boolean {
    const needed = retain ? PUBLISH | RETAIN : PUBLISH;
    return (this.#publishing(topic) & needed) === needed;
  }

  mayWill(topic: string, retain: boolean): boolean {
    const needed = retain ? PUBLISHING : PUBLISH | WILL;
    return (this.#publishing(topic) & needed) === needed;
  }

  maySubscribe(filter: string): boolean {
    return this.#decide(SUBSCRIBE, parseShare(filter)?.filter ?? filter).allowed;
  }

  explain(action: Action, filter: string): Decision {
    return this.#decide(ACTION_BITS[action], action === "subscribe" ? (parseShare(filter)?.filter ?? filter) : filter);
  }

  #decide(action: number, filter: string): Decision {
    const topics = new TopicSet(filter);
    for (const { actions, topics: denied, rule } of this.#denying) {
      if ((actions & action) !== 0 && denied.overlaps(topics)) return { allowed: false, by: rule };
    }
    for (const { actions, topics: allowed, rule } of this.#allowing) {
      if ((actions & action) !== 0 && allowed.covers(topics)) return { allowed: true, by: rule };
    }
    return { allowed: false, by: undefined };
  }

  #publishing(topic: string): number {
    let actions = this.#topics.get(topic);
    if (actions === undefined) {
      if (this.#topics.size >= TOPICS_MAX) this.#topics.clear();
      actions = this.#judge(topic);
      this.#topics.set(topic, actions);
    }
    return actions;
  }

  #judge(topic: string): number {
    const itself = new TopicSet(topic);
    let possible = PUBLISHING;
    for (const { actions, topics } of this.#denying) {
      if ((actions & possible) !== 0 && topics.covers(itself)) possible &= ~actions;
    }
    let allowed = 0;
    for (const { actions, topics } of this.#allowing) {
      if (allowed === possible) break;
      if ((actions & possible & ~allowed) !== 0 && topics.covers(itself)) allowed |= actions & possible;
    }
    return allowed;
  }
}
