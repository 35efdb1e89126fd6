/**
 * What a token says that its client may do, in either form that EMQX takes:
 *
 * - `{"pub": ["a/#"], "sub": ["b/${username}"], "all": ["c/${clientid}"]}`: what it may
 * - `[{"permission": "deny", "action": "publish", "topic": "a/b", "retain": true}, …]`
 *
 * A publish is with RETAIN or without, and a will is one too; `retain` in a rule narrows it. What can be read but not kept
 * to (some QoS only, an address, a filter that means itself) makes the whole claim wrong: a rule that was left out could
 * have been the one that denies.
 */

import { type Action, ACTIONS, type Rule } from "../core/authorization/rule.ts";
import { validateTopicFilter } from "../mqtt/topic.ts";

/** For the log. */
export class WrongClaim extends Error {
  override readonly name = "WrongClaim";
}

const RULES_MAX = 100;
const FILTER_LIMITS = { topicBytesMax: 1024, topicLevelsMax: 128 };

const actionsOf: Readonly<Record<string, readonly Action[]>> = {
  pub: ["publish", "retain", "will"],
  publish: ["publish", "retain", "will"],
  sub: ["subscribe"],
  subscribe: ["subscribe"],
  all: ACTIONS,
};

/**
 * @param claim undefined: the token has none
 * @throws WrongClaim
 */
export function tokenRules(claim: unknown): readonly Rule[] {
  if (claim === undefined) return [];
  const rules = Array.isArray(claim) ? claim.slice(0, RULES_MAX + 1).flatMap(listed) : grouped(claim);
  if (rules.length > RULES_MAX) throw new WrongClaim(`has more than ${RULES_MAX} rules`);
  return rules;
}

function grouped(claim: unknown): Rule[] {
  return Object.entries(object(claim)).flatMap(([group, topics]) => {
    if (group !== "pub" && group !== "sub" && group !== "all")
      throw new WrongClaim("has a member besides pub, sub and all");
    return filters(topics).map((filter) => ({ effect: "allow" as const, actions: actionsOf[group]!, filter }));
  });
}

function listed(written: unknown): Rule[] {
  const { permission, action, topic, topics, qos, retain, ...others } = object(written);
  if (permission !== "allow" && permission !== "deny") throw new WrongClaim("has a permission besides allow and deny");
  if (typeof action !== "string" || !Object.hasOwn(actionsOf, action)) {
    throw new WrongClaim("has an action besides publish, subscribe and all");
  }
  if (Object.keys(others).length > 0) throw new WrongClaim("has a condition that cannot be kept to");
  if (qos !== undefined && !(Array.isArray(qos) && [0, 1, 2].every((level) => qos.includes(level)))) {
    throw new WrongClaim("has a rule for some QoS only");
  }
  if (retain !== undefined && typeof retain !== "boolean")
    throw new WrongClaim("has a retain that is not true or false");
  if ((topic === undefined) === (topics === undefined)) throw new WrongClaim("has a rule without a topic");
  const actions = actionsOf[action]!.filter(
    (one) => retain === undefined || one === "subscribe" || (one === "retain") === retain,
  );
  return filters(topic === undefined ? topics : [topic]).map((filter) => ({ effect: permission, actions, filter }));
}

function object(written: unknown): Record<string, unknown> {
  if (typeof written === "object" && written !== null && !Array.isArray(written))
    return written as Record<string, unknown>;
  throw new WrongClaim("is neither an object nor a list of objects");
}

function filters(topics: unknown): string[] {
  if (Array.isArray(topics) && topics.every((topic) => typeof topic === "string")) {
    return topics.slice(0, RULES_MAX + 1).map(filterOf);
  }
  throw new WrongClaim("has topics that are not text");
}

/** In the words of {@link Rule}: `${username}` is `%u`, and after `eq ` nothing stands for anything else. */
function filterOf(topic: string): string {
  const exact = topic.startsWith("eq ");
  const filter = exact
    ? topic.slice(3).replaceAll("%", "%%")
    : topic.replaceAll("${username}", "%u").replaceAll("${clientid}", "%c");
  if (exact && /[+#]/.test(filter)) throw new WrongClaim("has an eq with a wildcard");
  if (filter.startsWith("$share/")) throw new WrongClaim("has a shared filter");
  const plain = filter.replaceAll(/%(?:[uc%]|\{[^{}]+\})/g, "x");
  if (plain.includes("%") || (!exact && plain.includes("${"))) throw new WrongClaim("has an unknown placeholder");
  try {
    validateTopicFilter(plain, FILTER_LIMITS);
  } catch {
    throw new WrongClaim("has a topic filter that is none");
  }
  return filter;
}
