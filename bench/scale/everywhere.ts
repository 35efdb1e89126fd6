/** A session whose filter has a wildcard in its first levels: what does it cost that it lives on every shard? */

import { shardsOfFilter } from "../../src/core/shard/placement.ts";
import { Disk, rowsChanged } from "./disk.ts";
import { ShardSubject } from "./shard-subject.ts";
import { milliseconds } from "./stopwatch.ts";

export interface EverywhereOrder {
  readonly kind: "everywhere";
  readonly shards: number;
}

export interface EverywherePoint {
  readonly shards: number;
  /** Frames to shards, and rows and CPU in all of them, of a first CONNECT with its SUBSCRIBE and its end. */
  readonly frames: number;
  readonly rows: number;
  readonly cpuMs: number;
  readonly databaseBytes: number;
}

const START = 1_700_000_000_000;
const FILTER = "+/device/command";
/** Sessions that do it, for a mean. */
const SESSIONS = 50;

export function measureEverywhere({ shards }: EverywhereOrder): EverywherePoint {
  const disk = new Disk();
  const placement = { shards, depth: 2 };
  try {
    const holding = shardsOfFilter(FILTER, placement);
    const subjects = holding.map((shard) => new ShardSubject(disk.open(`shard-${shard}`), START, { placement }));
    // The first session makes each shard store its placement.
    const visit = (subject: ShardSubject, session: string): void => {
      subject.hello(1, session, { persistent: true });
      subject.subscribe(1, FILTER);
      subject.bye(1);
    };
    for (const subject of subjects) visit(subject, "first");
    const total = (of: (subject: ShardSubject) => number): number =>
      subjects.reduce((sum, subject) => sum + of(subject), 0);
    const rows = total(({ sql }) => rowsChanged(sql));
    const bytes = total(({ sql }) => sql.bytes);
    const cpuMs = milliseconds(() => {
      for (let session = 0; session < SESSIONS; session++) {
        for (const subject of subjects) visit(subject, `session-${session}`);
      }
    });
    return {
      shards: holding.length,
      frames: 3 * holding.length,
      rows: (total(({ sql }) => rowsChanged(sql)) - rows) / SESSIONS,
      cpuMs: cpuMs / SESSIONS,
      databaseBytes: (total(({ sql }) => sql.bytes) - bytes) / SESSIONS,
    };
  } finally {
    disk.remove();
  }
}
