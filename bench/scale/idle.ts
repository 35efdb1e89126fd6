/**
 * A shard that holds sessions which are away and are owed nothing: what does it weigh, how long does it take to wake, and
 * does anything that it does for somebody else take longer because of them?
 */

import type { Placement } from "../../src/core/shard/placement.ts";
import { SubscriptionTree } from "../../src/core/shard/subscription-tree.ts";
import { Disk, rowsChanged } from "./disk.ts";
import { heldBytes } from "./heap.ts";
import { FENCE, filtersOf, sessionNamed, sessionsByShard, storeSessions } from "./population.ts";
import { message, ShardSubject, subscription } from "./shard-subject.ts";
import { median, microsecondsPerCall, milliseconds } from "./stopwatch.ts";

export interface IdleOrder {
  readonly kind: "idle";
  /** Of all shards together. */
  readonly sessions: number;
  readonly shards: number;
  /** Filters of each session. */
  readonly filters: number;
}

export interface WakeOrder {
  readonly kind: "wake";
  /** All in one shard, with one filter each. */
  readonly sessions: number;
}

export interface WakePoint {
  readonly wakeMs: number;
}

export interface IdlePoint {
  /** Sessions of the measured shard, which is the one that holds the most. */
  readonly sessions: number;
  /** Sessions of the shard that holds the fewest. */
  readonly sessionsMin: number;
  /** Rows of a session in the shard, its subscriptions included. */
  readonly rowsPerSession: number;
  readonly databaseBytes: number;
  readonly heapBytes: number;
  readonly wakeMs: number;
  /** The first checkpoint after a wake, and a later one. */
  readonly firstCheckpointMs: number;
  readonly checkpointMs: number;
  readonly alarmMs: number;
  /** µs for a topic whose only match is a literal filter, and one whose only match is `…/+/…`. */
  readonly matchLiteralUs: number;
  readonly matchWildcardUs: number;
  /** µs for a frame with one message for one subscriber that is here, a new topic each time. */
  readonly publishQos0Us: number;
  /** The same with the frame of its acknowledgement. */
  readonly publishQos1Us: number;
  /** Rows of a QoS 1 publish that is delivered and acknowledged, trimming included. */
  readonly rowsPerPublishQos1: number;
  /** µs for the hello of a session that is new, of one that comes back, and for a SUBSCRIBE of it. */
  readonly helloNewUs: number;
  readonly helloResumedUs: number;
  readonly subscribeUs: number;
}

const START = 1_700_000_000_000;
const CALLS = 400;
const MATCHES = 20_000;

export function measureIdle({ sessions, shards, filters }: IdleOrder): IdlePoint {
  const placement = { shards, depth: 2 };
  const counts = sessionsByShard(sessions, placement);
  const shard = counts.indexOf(Math.max(...counts));
  const disk = new Disk();
  try {
    const { databaseBytes, rows, count } = populate(disk, { sessions, filters, placement, shard });
    const woken = wake(disk, placement, count > 200_000 ? 1 : 3);
    const { subject, ...weight } = woken;
    const work = {
      ...housekeeping(subject),
      ...publishing(subject),
      ...coming(subject, filters),
    };
    return {
      sessions: count,
      sessionsMin: Math.min(...counts),
      rowsPerSession: rows / count,
      databaseBytes,
      ...weight,
      ...work,
      ...matching(count, filters),
    };
  } finally {
    disk.remove();
  }
}

/** Only the wake: to be called where memory is short. */
export function measureWake({ sessions }: WakeOrder): WakePoint {
  const disk = new Disk();
  try {
    populate(disk, { sessions, filters: 1, placement: { shards: 1, depth: 2 }, shard: 0 });
    return { wakeMs: wake(disk, { shards: 1, depth: 2 }, 1).wakeMs };
  } finally {
    disk.remove();
  }
}

function populate(
  disk: Disk,
  population: { sessions: number; filters: number; placement: Placement; shard: number },
): { databaseBytes: number; rows: number; count: number } {
  const { store, place, empty } = template(disk, population.placement);
  const count = storeSessions(store, place, population);
  const sql = disk.open("shard");
  const rows = (sql.rows("SELECT (SELECT count(*) FROM session) + (SELECT count(*) FROM subscription) AS rows")[0]![
    "rows"
  ] ?? 0) as number;
  return { databaseBytes: sql.bytes - empty, rows, count };
}

/** A shard that one session has come to and left, and what it stored of that session's place. The session is gone. */
export function template(
  disk: Disk,
  placement: Placement,
): { store: ShardSubject["store"]; place: Uint8Array; empty: number } {
  const subject = new ShardSubject(disk.open("shard"), START, { placement });
  subject.hello(1, "template", { persistent: true });
  subject.subscribe(1, "template/of/all");
  subject.advance(5_000);
  subject.bye(1);
  let place: Uint8Array = new Uint8Array(0);
  subject.store.sessions((stored) => void (place = stored.place));
  subject.shard.wipe("template", 1, subject.now);
  subject.advance(2 * 24 * 3600 * 1000);
  return { store: subject.store, place, empty: subject.sql.bytes };
}

function wake(
  disk: Disk,
  placement: Placement,
  times: number,
): { subject: ShardSubject; wakeMs: number; heapBytes: number } {
  const took: number[] = [];
  let subject: ShardSubject | undefined;
  let before = 0;
  while (took.length < times) {
    subject = undefined;
    const sql = disk.open("shard");
    before = heldBytes();
    took.push(milliseconds(() => (subject = new ShardSubject(sql, START + 3 * 24 * 3600 * 1000, { placement }))));
  }
  return { subject: subject!, wakeMs: median(took), heapBytes: heldBytes() - before };
}

/** What the shard does by itself. Nobody is here. */
function housekeeping(subject: ShardSubject): { firstCheckpointMs: number; checkpointMs: number; alarmMs: number } {
  const firstCheckpointMs = milliseconds(() => subject.alarm());
  // A link that comes and goes asks for a checkpoint.
  const later = Array.from({ length: 5 }, () => {
    subject.hello(1, "passer-by");
    subject.bye(1);
    subject.now = subject.shard.deadline!;
    return milliseconds(() => subject.tick());
  });
  const alarms = Array.from({ length: 5 }, () => milliseconds(() => subject.alarm()));
  return { firstCheckpointMs, checkpointMs: median(later), alarmMs: median(alarms) };
}

function publishing(subject: ShardSubject): {
  publishQos0Us: number;
  publishQos1Us: number;
  rowsPerPublishQos1: number;
} {
  subject.hello(1, "publisher");
  subject.hello(2, "subscriber", { grants: 60_000 });
  subject.subscribe(2, "bench/+/value");
  subject.reads = true;
  let topics = 0;
  const publish = (qos: 0 | 1): void => {
    subject.publish(1, message(`bench/${++topics}/value`, qos));
    if (qos > 0) subject.acknowledge();
    else if (subject.served.includes(2)) drained(subject, 2, topics);
  };
  const publishQos0Us = microsecondsPerCall(CALLS, () => publish(0));
  const before = rowsChanged(subject.sql);
  const published = topics;
  const publishQos1Us = microsecondsPerCall(CALLS, () => publish(1));
  subject.advance(60_000);
  const rowsPerPublishQos1 = (rowsChanged(subject.sql) - before) / (topics - published);
  subject.bye(1);
  subject.bye(2);
  return { publishQos0Us, publishQos1Us, rowsPerPublishQos1 };
}

/** The connection takes what is under way to it now and then. */
function drained(subject: ShardSubject, link: number, published: number): void {
  if (published % 256 === 0) subject.drain(link);
}

function coming(
  subject: ShardSubject,
  filters: number,
): { helloNewUs: number; helloResumedUs: number; subscribeUs: number } {
  const known = knownSessions(subject, CALLS * 6);
  let link = 10;
  const helloNewUs = microsecondsPerCall(CALLS, (call) => {
    subject.hello(++link, `new-${call}`, { ...FENCE, persistent: true });
  });
  let subscriber = 10;
  const subscribeUs = microsecondsPerCall(CALLS, (call) => {
    subject.subscribe(++subscriber, `devices/new-${call}/command`);
  });
  const helloResumedUs = microsecondsPerCall(known.length / 6, (call) => {
    const session = known[call]!;
    const subscriptions = filtersOf(session, filters).map((filter) => ({
      ...subscription(filter),
      start: undefined,
      scan: undefined,
    }));
    subject.hello(++link, session, {
      ...FENCE,
      epoch: FENCE.epoch + 1,
      persistent: true,
      subscriptions,
    });
  });
  return { helloNewUs, helloResumedUs, subscribeUs };
}

function knownSessions(subject: ShardSubject, most: number): string[] {
  const rows = subject.sql.rows("SELECT session FROM session LIMIT ?", most);
  return rows.slice(0, rows.length - (rows.length % 6)).map((row) => row["session"] as string);
}

/** The tree that the shard has, with the same filters, alone. */
function matching(sessions: number, filters: number): { matchLiteralUs: number; matchWildcardUs: number } {
  const tree = new SubscriptionTree<object, object>();
  const subscriber = {};
  for (let number = 0; number < sessions; number++) {
    for (const filter of filtersOf(sessionNamed(number), filters)) tree.set(filter, subscriber, subscriber);
  }
  tree.set("bench/+/value", subscriber, subscriber);
  let found = 0;
  const visit = (): void => void (found += 1);
  // Far apart, so that they do not meet in the processor's caches.
  const literal = microsecondsPerCall(MATCHES, (call) =>
    tree.match(`devices/${sessionNamed((call * 7919) % sessions)}/command`, visit),
  );
  const wildcard = microsecondsPerCall(MATCHES, (call) => tree.match(`bench/${call}/value`, visit));
  if (found !== 2 * 6 * MATCHES) throw new Error(`found ${found}`);
  return { matchLiteralUs: literal, matchWildcardUs: wildcard };
}
