/**
 * A session in a share group, as far as its client can know: which messages it may have been handed, on which terms, and
 * since when it is surely there. Asks are those of one shared subscription of the session, in order.
 */

import type { Came } from "./arrivals.ts";
import type { Message } from "./message.ts";
import { type Ask, inForce, type Terms } from "./subscriptions.ts";

/** Which subscriptions of a session a delivery may be for: one of its own, or one of those that it shares. */
export interface Way {
  readonly own: boolean;
  /** Shared subscriptions, each as it was asked for. */
  readonly groups: readonly string[];
}

export const OWN: Way = { own: true, groups: [] };

/** Terms on which it may have been handed the message by now. */
export function mayHave(asks: readonly Ask[], { sent }: Message): Terms[] {
  return asks.flatMap(({ terms }, i) => {
    const later = asks.slice(i + 1).find(({ state }) => state === "granted");
    return terms && (later?.closedAt ?? Infinity) >= sent.index ? [terms] : [];
  });
}

/** What came is as it comes to a member: at its QoS, RETAIN only if it asked for that, and only its own identifier. */
export function fits(asks: readonly Ask[], { packet, connection }: Came, message: Message): boolean {
  const { qos, retain, dup, identifiers = [] } = packet;
  return mayHave(asks, message).some((terms) => {
    if (qos !== Math.min(message.qos, terms.qos)) return false;
    if (retain !== (message.retain && terms.retainAsPublished)) return false;
    // What was sent before a member left the group comes again without it.
    if (dup || connection.version < 5) return true;
    return terms.identifier > 0
      ? identifiers.length === 1 && identifiers[0] === terms.identifier
      : identifiers.length === 0;
  });
}

/** It is in the group above QoS 0 from before that moment, and still is. */
export function stays(asks: readonly Ask[], since: number): boolean {
  const ask = inForce(asks, since);
  if (!ask?.terms) return false;
  return asks.every(({ terms, state, askedAt }) => {
    return askedAt < ask.askedAt || (state === "granted" && terms !== undefined && terms.qos > 0);
  });
}
