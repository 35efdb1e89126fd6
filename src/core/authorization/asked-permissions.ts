/**
 * What one client may, where somebody else is asked about what no rule says anything of. What a rule allows or denies is not
 * asked.
 */

import { Decisions } from "./decisions.ts";
import { type Asked, type Decision, type Need, type Permissions, publishing, subscribing } from "./permissions.ts";
import type { Action } from "./rule.ts";

export class AskedPermissions implements Permissions, Asked {
  readonly #rules: Permissions;
  readonly #decisions = new Decisions();
  #now = 0;

  constructor(rules: Permissions) {
    this.#rules = rules;
  }

  get asked(): Asked {
    return this;
  }

  mayPublish(topic: string, retain: boolean): boolean | undefined {
    return this.#rules.mayPublish(topic, retain) || this.#all(publishing(topic, retain));
  }

  mayWill(topic: string, retain: boolean): boolean | undefined {
    return this.#rules.mayWill(topic, retain) || this.#all(publishing(topic, retain, true));
  }

  maySubscribe(filter: string): boolean | undefined {
    return this.#one(subscribing(filter));
  }

  /** What rules say; what somebody else would say has to be asked there. */
  explain(action: Action, filter: string): Decision {
    return this.#rules.explain(action, filter);
  }

  at(now: number): void {
    this.#now = now;
  }

  unknown(needs: readonly Need[]): readonly Need[] {
    return needs.filter((need) => this.#one(need) === undefined);
  }

  learn(needs: readonly Need[], allowed: readonly boolean[], until: number): void {
    this.#decisions.learn(needs, allowed, until, this.#now);
  }

  forget(): void {
    this.#decisions.forget();
  }

  /** What is denied needs no question about the rest. */
  #all(needs: readonly Need[]): boolean | undefined {
    const each = needs.map((need) => this.#one(need));
    if (each.includes(false)) return false;
    return each.includes(undefined) ? undefined : true;
  }

  #one(need: Need): boolean | undefined {
    // Whoever is asked decides only about what no rule says anything of, so what is known of that is no rule's.
    const decided = this.#decisions.find(need, this.#now);
    if (decided !== undefined) return decided;
    const { allowed, by } = this.#rules.explain(need.action, need.filter);
    return by === undefined ? undefined : allowed;
  }
}
