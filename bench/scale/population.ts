/**
 * The sessions of a deployment, the same on every run: devices that are away, each with filters of its own.
 *
 * `device-0012345` has subscribed to `devices/device-0012345/command`, and with more than one filter to
 * `devices/device-0012345/1`, `/2` and so on: all in one shard, because the first two levels are theirs.
 */

import { type Placement, shardsOfFilter } from "../../src/core/shard/placement.ts";
import type { ShardStore } from "../../src/core/shard/store.ts";
import { subscription } from "./shard-subject.ts";

/** Generation and epoch of all of them. Real ones are times, and larger than what a small number takes in memory. */
export const FENCE = { generation: 1_699_000_000_000, epoch: 1_699_000_000_000 } as const;

export function sessionNamed(number: number): string {
  return `device-${String(number).padStart(7, "0")}`;
}

export function filtersOf(session: string, count: number): string[] {
  return Array.from({ length: count }, (_, at) => `devices/${session}/${at === 0 ? "command" : at}`);
}

/** How many of the sessions each shard holds. */
export function sessionsByShard(sessions: number, placement: Placement): number[] {
  const counts = new Array<number>(placement.shards).fill(0);
  for (let number = 0; number < sessions; number++) counts[shardOf(sessionNamed(number), placement)]! += 1;
  return counts;
}

function shardOf(session: string, placement: Placement): number {
  return shardsOfFilter(filtersOf(session, 1)[0]!, placement)[0]!;
}

/**
 * Stores the sessions that one shard holds, as the shard itself would have.
 *
 * @param place a stored place, as the shard wrote it for a session that had nothing in flight
 * @returns how many
 */
export function storeSessions(
  store: ShardStore,
  place: Uint8Array,
  { sessions, filters, placement, shard }: { sessions: number; filters: number; placement: Placement; shard: number },
): number {
  let stored = 0;
  store.transaction(() => {
    for (let number = 0; number < sessions; number++) {
      const session = sessionNamed(number);
      if (shardOf(session, placement) !== shard) continue;
      store.putSession({ session, ...FENCE, place });
      for (const filter of filtersOf(session, filters))
        store.putSubscription(session, { ...subscription(filter), start: 0 });
      stored += 1;
    }
  });
  return stored;
}
