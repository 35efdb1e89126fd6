/** Who may do what, of all clients. */

import { type Clause, Draft } from "./clause.ts";
import { AskedPermissions } from "./asked-permissions.ts";
import { EVERYTHING, type Permissions, RuledPermissions } from "./permissions.ts";
import type { Rule } from "./rule.ts";
import type { Subject } from "./rule-filter.ts";

/** Who a client is, and the rules that it brought with it. */
export interface Client extends Subject {
  readonly rules: readonly Rule[];
}

export interface Policy {
  /**
   * What the client may while it is who it is. It is worth keeping as long: it remembers what it decided.
   *
   * @throws RangeError for a filter among the client's rules that is none
   */
  of(client: Client): Permissions;
}

/** Nobody may anything but what a rule says, one of these or one of the client's own. */
export class RuledPolicy implements Policy {
  /** Rules for one user, for one client id, and the others; so that a client is not asked about those of all the others. */
  readonly #byUser: ReadonlyMap<string | undefined, readonly Draft[]>;
  readonly #byClientId: ReadonlyMap<string | undefined, readonly Draft[]>;

  /** @throws RangeError for a filter that is none */
  constructor(rules: readonly Rule[]) {
    const drafts = rules.map((rule) => new Draft(rule));
    this.#byUser = Map.groupBy(drafts, ({ rule }) => rule.user);
    this.#byClientId = Map.groupBy(this.#byUser.get(undefined) ?? [], ({ rule }) => rule.clientId);
  }

  of(client: Client): Permissions {
    const drafts = [
      this.#byClientId.get(undefined),
      this.#byClientId.get(client.clientId),
      client.user === undefined ? undefined : this.#byUser.get(client.user),
      client.rules.map((rule) => new Draft(rule)),
    ];
    const clauses: Clause[] = [];
    for (const draft of drafts.flatMap((some) => some ?? [])) {
      const clause = draft.clause(client);
      if (clause) clauses.push(clause);
    }
    return new RuledPermissions(clauses);
  }
}

/** Nobody may anything but what a rule says, or else somebody who is asked. */
export class AskingPolicy implements Policy {
  readonly rules: Policy;

  constructor(rules: Policy) {
    this.rules = rules;
  }

  of(client: Client): Permissions {
    return new AskedPermissions(this.rules.of(client));
  }
}

const OWN_RULES_ONLY = new RuledPolicy([]);

/**
 * Everybody may everything: where no rules are set. A client that brings rules is judged by these alone, as whoever gave
 * them to it meant to say what it may.
 */
export const OPEN_POLICY: Policy = {
  of: (client) => (client.rules.length === 0 ? EVERYTHING : OWN_RULES_ONLY.of(client)),
};
