/** Everything that one run measures. */

import type { BacklogPoint, BroadcastPoint } from "./queue.ts";
import type { EverywherePoint } from "./everywhere.ts";
import type { IdlePoint } from "./idle.ts";
import type { LinksPoint } from "./links.ts";
import { measureApart } from "./order.ts";
import type { RetainedPoint } from "./retained.ts";
import type { SessionsPoint } from "./session-objects.ts";

/** What an isolate of the platform has, in MiB. */
export const ISOLATE_MIB = 128;

/** A shard of a deployment that has so many shards and sessions. */
interface Spread {
  readonly sessions: number;
  readonly shards: number;
  readonly shard: IdlePoint;
}

export interface Growth {
  /** Sessions with one filter each, in one shard and spread over more. */
  readonly spreads: readonly Spread[];
  /** Sessions with {@link MANY_FILTERS} filters each in one shard. */
  readonly manyFilters: IdlePoint;
  /** Most sessions of one filter that a shard woke with in a heap of {@link ISOLATE_MIB}, and fewest that it did not. */
  readonly fits: number;
  readonly tooMany: number;
  readonly transientLinks: readonly LinksPoint[];
  readonly persistentLinks: readonly LinksPoint[];
  readonly broadcasts: readonly BroadcastPoint[];
  readonly backlogs: readonly BacklogPoint[];
  readonly retained: readonly RetainedPoint[];
  readonly everywhere: readonly EverywherePoint[];
  readonly sessions: SessionsPoint;
}

export const MANY_FILTERS = 5;
/**
 * Sessions that one message is for. A shard keeps no plan of a topic for more than 200,000 recipients (`fanout.ts`), works
 * it out for each of them, and so would take hours for a million; no isolate has the memory for so many.
 */
const BROADCAST_MAX = 100_000;
const SHARDS = [1, 4, 16, 64];
const LINKS = [1_000, 10_000, 30_000];
/** Between {@link Growth.fits} and {@link Growth.tooMany}. */
const FIT_STEP = 5_000;

/**
 * @param sizes sessions, retained messages and batches of the log, ascending
 * @param progress is told what is measured
 */
export async function measureGrowth(sizes: readonly number[], progress: (what: string) => void): Promise<Growth> {
  const each = async <Of, Point>(of: readonly Of[], one: (value: Of) => Promise<Point>): Promise<Point[]> => {
    const points: Point[] = [];
    for (const value of of) points.push(await one(value));
    return points;
  };
  const idle = (sessions: number, shards: number, filters: number): Promise<IdlePoint> => {
    progress(`sessions: ${sessions}, filters of each: ${filters}, shards: ${shards}`);
    return measureApart({ kind: "idle", sessions, shards, filters });
  };
  const spreads = await each(
    sizes.flatMap((sessions) => SHARDS.map((shards) => ({ sessions, shards }))),
    async ({ sessions, shards }) => ({ sessions, shards, shard: await idle(sessions, shards, 1) }),
  );
  const manyFilters = await idle(Math.min(100_000, sizes.at(-1)!), 1, MANY_FILTERS);
  const fit = await fitting(progress);
  const links = (persistent: boolean): Promise<LinksPoint[]> =>
    each(LINKS, (count) => {
      progress(`${count} links of ${persistent ? "persistent" : "transient"} sessions`);
      return measureApart({ kind: "links", links: count, persistent });
    });
  return {
    spreads,
    manyFilters,
    ...fit,
    transientLinks: await links(false),
    persistentLinks: await links(true),
    broadcasts: await each(
      sizes.filter((sessions) => sessions <= BROADCAST_MAX),
      (sessions) => {
        progress(`a message for ${sessions} sessions that are away`);
        return measureApart({ kind: "broadcast", sessions });
      },
    ),
    backlogs: await each(sizes, (batches) => {
      progress(`${batches} messages that wait`);
      return measureApart({ kind: "backlog", batches });
    }),
    retained: await each(sizes, (messages) => {
      progress(`${messages} retained messages`);
      return measureApart({ kind: "retained", messages });
    }),
    everywhere: await each(SHARDS, (shards) => {
      progress(`a session on ${shards} shards`);
      return measureApart({ kind: "everywhere", shards });
    }),
    sessions: await measureApart({ kind: "sessions" }),
  };
}

/** Halves the interval until it is small; the process of a measurement dies where memory is too short. */
async function fitting(progress: (what: string) => void): Promise<{ fits: number; tooMany: number }> {
  let [fits, tooMany] = [10_000, 250_000];
  while (tooMany - fits > FIT_STEP) {
    const sessions = Math.round((fits + tooMany) / 2 / 1_000) * 1_000;
    progress(`do ${sessions} sessions wake in ${ISOLATE_MIB} MiB?`);
    try {
      await measureApart({ kind: "wake", sessions }, ISOLATE_MIB);
      fits = sessions;
    } catch {
      tooMany = sessions;
    }
  }
  return { fits, tooMany };
}
