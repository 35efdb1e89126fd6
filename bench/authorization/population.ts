/**
 * Fifty rules of one client, as a site with devices could have them, and what it publishes to. The same on every run.
 *
 * | rules | filter | |
 * |---|---|---|
 * | 1 | `devices/%c/#` | its own place |
 * | 1 | `users/%u/+/in` | |
 * | 30 | `site/12/line/3/cell/7/#` | allowed, all with levels in common |
 * | 10 | `shared/4/+/state` | |
 * | 4 | `site/12/line/+/cell/5/override` | denied |
 * | 4 | `+/+/secret/#`, `devices/+/firmware`, … | denied, wildcards first |
 *
 * A third of the topics are its own, a third of the site, the others are denied or of no rule.
 */

import type { Client } from "../../src/core/authorization/policy.ts";
import type { Rule } from "../../src/core/authorization/rule.ts";

export const RULES = 50;

export const CLIENT: Client = { user: "roger", clientId: "meter-7", claims: new Map(), rules: [] };

const allow = (filter: string): Rule => ({ effect: "allow", actions: ["publish", "retain"], filter });
const deny = (filter: string): Rule => ({ effect: "deny", actions: ["publish", "retain"], filter });
const numbered = <T>(length: number, of: (number: number) => T): T[] =>
  Array.from({ length }, (_, number) => of(number));

export function rules(): Rule[] {
  return [
    allow("devices/%c/#"),
    allow("users/%u/+/in"),
    ...numbered(30, (number) => allow(`site/12/line/${number % 6}/cell/${number}/#`)),
    ...numbered(10, (number) => allow(`shared/${number}/+/state`)),
    ...numbered(4, (number) => deny(`site/12/line/+/cell/${number}/override`)),
    deny("+/+/secret/#"),
    deny("devices/+/firmware"),
    deny("site/+/line/+/cell/+/lock"),
    deny("+/audit"),
  ];
}

/** As many topics as one likes, each another. */
export function topic(number: number): string {
  switch (number % 6) {
    case 0:
    case 1:
      return `devices/meter-7/register/${number}`;
    case 2:
    case 3: {
      const cell = number % 30;
      return `site/12/line/${cell % 6}/cell/${cell}/measured/${number}`;
    }
    case 4:
      return `shared/secret/secret/${number}`;
    default:
      return `nobody/gave/this/${number}`;
  }
}
