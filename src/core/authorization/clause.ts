/** A rule as it stands for one client: with its names in place, and ready to be asked often. */

import { TopicSet } from "../../mqtt/topic-set.ts";
import type { Action, Rule } from "./rule.ts";
import { RuleFilter, type Subject } from "./rule-filter.ts";

/** Actions as bits, so that what may be done with a topic is one number. */
export const ACTION_BITS: Readonly<Record<Action, number>> = { publish: 1, subscribe: 2, retain: 4, will: 8 };

export interface Clause {
  readonly rule: Rule;
  /** Of {@link ACTION_BITS}. */
  readonly actions: number;
  readonly topics: TopicSet;
}

/** A rule, read once for all clients. */
export class Draft {
  readonly rule: Rule;
  readonly #filter: RuleFilter;
  readonly #actions: number;
  /** Most rules say the same to all: they share it. */
  readonly #constant: Clause | undefined;

  /** @throws RangeError for a filter that is none */
  constructor(rule: Rule) {
    this.rule = rule;
    this.#filter = new RuleFilter(rule.filter);
    this.#actions = rule.actions.reduce((bits, action) => bits | ACTION_BITS[action], 0);
    const { constant } = this.#filter;
    this.#constant = constant === undefined ? undefined : this.#clause(constant);
  }

  /** Undefined if the rule says nothing of this client. */
  clause(subject: Subject): Clause | undefined {
    const { rule } = this;
    if (rule.user !== undefined && rule.user !== subject.user) return undefined;
    if (rule.clientId !== undefined && rule.clientId !== subject.clientId) return undefined;
    if (rule.anonymous && subject.user !== undefined) return undefined;
    if (this.#constant) return this.#constant;
    const filter = this.#filter.of(subject, rule.effect);
    return filter === undefined ? undefined : this.#clause(filter);
  }

  #clause(filter: string): Clause {
    return { rule: this.rule, actions: this.#actions, topics: new TopicSet(filter) };
  }
}
