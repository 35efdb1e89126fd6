/** Which member of a share group has the next message? The first in this order that can take it. */

import type { Message } from "../../mqtt/message.ts";
import type { Attendance } from "./attendance.ts";
import { hashOfText } from "./placement.ts";
import type { ShareGroup } from "./share-group.ts";

/**
 * - `round-robin`: in turn
 * - `least-inflight`: who has the fewest deliveries to acknowledge; among equals in turn
 * - `hash-topic`, `hash-publisher`: equal topics, or messages of one client, to the same member, as long as it can take them
 * - `sticky`: the one that had the last, as long as it can take more
 */
export const SHARE_STRATEGIES = ["round-robin", "least-inflight", "hash-topic", "hash-publisher", "sticky"] as const;
export type ShareStrategy = (typeof SHARE_STRATEGIES)[number];

/** @param ready whether a member can take the message now */
export function choose(
  strategy: ShareStrategy,
  group: ShareGroup,
  message: Message,
  ready: (member: Attendance) => boolean,
): Attendance | undefined {
  switch (strategy) {
    case "round-robin":
      return inTurn(group, 1, ready);
    case "sticky":
      return inTurn(group, 0, ready);
    case "least-inflight":
      return leastInflight(group, ready);
    case "hash-topic":
      return highest(group, message.topic, ready);
    case "hash-publisher":
      return highest(group, message.publisher, ready);
  }
}

/** The first that is ready, `skip` places after the one that was last. */
function inTurn({ order, last }: ShareGroup, skip: number, ready: (member: Attendance) => boolean) {
  const from = last === undefined ? 0 : order.indexOf(last) + skip;
  for (let step = 0; step < order.length; step++) {
    const member = order[(from + step) % order.length]!;
    if (ready(member)) return member;
  }
  return undefined;
}

function leastInflight(group: ShareGroup, ready: (member: Attendance) => boolean): Attendance | undefined {
  const { order, last } = group;
  const from = last === undefined ? 0 : order.indexOf(last) + 1;
  let least: Attendance | undefined;
  for (let step = 0; step < order.length; step++) {
    const member = order[(from + step) % order.length]!;
    if ((least === undefined || member.inflight.size < least.inflight.size) && ready(member)) least = member;
  }
  return least;
}

/** Rendezvous hashing: who comes or goes moves only what was, or becomes, its own. */
function highest(group: ShareGroup, key: string, ready: (member: Attendance) => boolean): Attendance | undefined {
  let chosen: Attendance | undefined;
  let most = -1;
  for (const member of group.order) {
    const weight = hashOfText(`${key}\0${member.session}`);
    if (weight > most && ready(member)) {
      chosen = member;
      most = weight;
    }
  }
  return chosen;
}
