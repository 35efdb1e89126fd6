/**
 * The peer: for each message all rules in their order, each with its names put in and level by level, as a broker does
 * that prepares nothing and remembers nothing.
 */

import type { Client } from "../../src/core/authorization/policy.ts";
import type { Rule } from "../../src/core/authorization/rule.ts";

export function linear(rules: readonly Rule[], { user, clientId }: Client): (topic: string) => boolean {
  return (topic) => {
    const levels = topic.split("/");
    let allowed = false;
    for (const { effect, actions, filter } of rules) {
      if (!actions.includes("publish")) continue;
      const placed = filter.includes("%") ? filter.replaceAll("%c", clientId).replaceAll("%u", user ?? "") : filter;
      if (!matches(placed.split("/"), levels)) continue;
      if (effect === "deny") return false;
      allowed = true;
    }
    return allowed;
  };
}

function matches(filter: readonly string[], levels: readonly string[]): boolean {
  if (levels[0]!.startsWith("$") && (filter[0] === "+" || filter[0] === "#")) return false;
  for (const [at, level] of filter.entries()) {
    if (level === "#") return true;
    if (at >= levels.length || (level !== "+" && level !== levels[at])) return false;
  }
  return filter.length === levels.length;
}
