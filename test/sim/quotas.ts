/** Limits so low that clients meet them, now and then: each alone, so that what it does is not hidden by another. */

import type { Limits } from "../../src/core/limits.ts";
import type { Random } from "../support/random.ts";

const CHOICES = {
  subscriptionsMax: [1, 2, 4],
  // The longest topic has ten.
  subscriptionBytesMax: [12, 16, 24],
  linkBacklogBytesMax: [1_000, 65_536],
  // A client that has more to send again than this is thrown out again and again: the most that one here has is 20 messages.
  unansweredBytesMax: [610_000, 700_000],
  queueMessagesMax: [1, 5, 20],
  queueBytesMax: [100, 1_000, 40_000],
  queueSecondsMax: [60, 90],
  logBytesMax: [10_000, 40_000],
  // Retained messages alone must not fill it: they stay.
  shardBytesMax: [500_000, 700_000],
} satisfies Partial<Record<keyof Limits, readonly number[]>>;

export function quotas(random: Random): Partial<Limits> {
  if (!random.chance(0.2)) return {};
  const name = random.of(Object.keys(CHOICES) as (keyof typeof CHOICES)[]);
  return { [name]: random.of(CHOICES[name]) };
}
