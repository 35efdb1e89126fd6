/**
 * Who may do what, in simulated trials: everybody everything, but now and then that is known only after it was asked. What
 * clients and shards send meanwhile waits, and nothing of it may be lost, overtaken or come twice for that.
 */

import type { Authorizer } from "../../src/access/authorizer.ts";
import { Reception } from "../../src/access/reception.ts";
import {
  type Answer,
  type Decide,
  type Decided,
  identityOf,
  type Question,
} from "../../src/core/authentication/asking.ts";
import { OPEN_POLICY, type Policy, RuledPolicy } from "../../src/core/authorization/policy.ts";
import { ACTIONS, type Rule } from "../../src/core/authorization/rule.ts";
import { HOLD_MS } from "../../src/core/connection/standing.ts";
import type { Random } from "../support/random.ts";
import type { WorldOptions } from "./world/world.ts";

export const ACCESS = ["open", "changing", "asking"] as const;

/**
 * - open: nothing is asked.
 * - changing: what is known of users and rules is soon too old, and the rules are others each time, that say the same.
 * - asking: no rule says anything, and somebody is asked about each topic and filter.
 */
export type AccessKind = (typeof ACCESS)[number];

/** How long what is known is fresh, in ms. */
const FRESH_MS = 400;

/** @param tell is told of answers that nobody waits for any more, so that things go on without */
export function accessOf(
  kind: AccessKind,
  random: Random,
  tell: () => void,
): Pick<WorldOptions, "reception" | "answerMs"> {
  if (kind === "open") return {};
  return {
    reception: kind === "changing" ? new Changing() : new Reception({ ...EVERYBODY, authorizer: new Yes(random) }),
    answerMs({ type }) {
      if (type === "identify") return random.of([undefined, 20]);
      // Who is asked about a topic always answers in time.
      if (type === "decide" || !random.chance(0.1)) return random.of([undefined, 1, 50]);
      tell();
      return HOLD_MS + 500;
    },
  };
}

const EVERYBODY = {
  authenticators: [],
  mechanisms: [],
  policy: OPEN_POLICY,
  allowAnonymous: true,
  clientIdsPerUser: false,
} as const;

/** Rude clients publish to a topic that no wildcard matches. */
const ALL: readonly Rule[] = ["#", "$rude"].map((filter) => ({ effect: "allow", actions: ACTIONS, filter }));

class Changing extends Reception {
  #until = -Infinity;
  #rules: Policy = OPEN_POLICY;

  constructor() {
    super(EVERYBODY);
  }

  override get policy(): Policy {
    return this.#rules;
  }

  override get freshUntil(): number {
    return this.#until;
  }

  override answer(question: Question, now: number): Answer | Promise<Answer> {
    this.#until = now + FRESH_MS;
    this.#rules = new RuledPolicy(ALL);
    if (question.type !== "current") return { type: "accepted", identity: identityOf(undefined) };
    return { type: "current", doubt: question, identity: question.identity };
  }
}

class Yes implements Authorizer {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  authorize({ needs }: Decide): Decided {
    return { type: "decided", allowed: needs.map(() => true), seconds: this.#random.of([1, 60]) };
  }
}
