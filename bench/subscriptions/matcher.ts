/** What is measured, and what it is compared with. */

import { createRequire } from "node:module";
import { SubscriptionTree } from "../../src/core/shard/subscription-tree.ts";

export interface Matcher {
  add(filter: string, client: Client): void;
  /** How many subscriptions match. Each is looked at. */
  match(topic: string): number;
}

export interface Client {
  readonly id: string;
}

export const MATCHERS = { dormouse, qlobber } as const;
export type MatcherName = keyof typeof MATCHERS;

/** As a shard has it, with less in a subscription. */
function dormouse(): Matcher {
  const tree = new SubscriptionTree<Client, { readonly qos: number }>();
  const subscription = { qos: 1 };
  let found = 0;
  const visit = (_client: Client, { qos }: { readonly qos: number }): void => void (found += qos);
  return {
    add: (filter, client) => void tree.set(filter, client, subscription),
    match: (topic) => {
      found = 0;
      tree.match(topic, visit);
      return found;
    },
  };
}

interface QlobberSub {
  add(filter: string, subscription: { topic: string; clientId: string; qos: number }): void;
  match(topic: string): readonly { qos: number }[];
}

/** aedes's: the version that it brings, with the options that its persistence gives it. */
function qlobber(): Matcher {
  const fromHere = createRequire(import.meta.url);
  const fromAedes = createRequire(fromHere.resolve("aedes"));
  const fromPersistence = createRequire(fromAedes.resolve("aedes-persistence"));
  const Qlobber = fromPersistence("qlobber/aedes/qlobber-sub") as new (options: object) => QlobberSub;
  const matcher = new Qlobber({ wildcard_one: "+", wildcard_some: "#", separator: "/" });
  return {
    add: (filter, { id }) => matcher.add(filter, { topic: filter, clientId: id, qos: 1 }),
    match: (topic) => {
      let found = 0;
      for (const { qos } of matcher.match(topic)) found += qos;
      return found;
    },
  };
}
