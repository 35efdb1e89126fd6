/**
 * What waits: many messages for one session that is away, each stored by itself, as they come when they come slowly; and
 * one message for very many sessions that are away.
 */

import { ByteWriter } from "../../src/link/bytes.ts";
import { writeEntry } from "../../src/core/shard/store.ts";
import { Disk, rowsChanged } from "./disk.ts";
import { heldBytes } from "./heap.ts";
import { template } from "./idle.ts";
import { FENCE, sessionNamed } from "./population.ts";
import { message, ShardSubject, subscription } from "./shard-subject.ts";
import { median, milliseconds } from "./stopwatch.ts";

export interface BacklogOrder {
  readonly kind: "backlog";
  /** Batches of one message. */
  readonly batches: number;
}

export interface BacklogPoint {
  readonly batches: number;
  readonly databaseBytes: number;
  readonly wakeMs: number;
  readonly heapBytes: number;
  /** After a wake the log is looked through once, to see what of it is needed: all parts of that together. */
  readonly surveyMs: number;
  /** The longest of them. */
  readonly surveyTurnMs: number;
  readonly checkpointMs: number;
  /** The session is back: of more than `QUEUE_MESSAGES_MAX` the newest are found. It takes nothing yet. */
  readonly helloMs: number;
  /** Another one is back, that the oldest message was for and no other: all that is kept is gone through for it. */
  readonly otherHelloMs: number;
}

export interface BroadcastOrder {
  readonly kind: "broadcast";
  readonly sessions: number;
}

export interface BroadcastPoint {
  readonly sessions: number;
  /** The first message after all of them were up to date, and a later one. */
  readonly firstMs: number;
  readonly laterMs: number;
  /** Rows until the shard has nothing unsaved, and how long that keeps it awake after the message, in virtual seconds. */
  readonly rows: number;
  readonly awakeSeconds: number;
  /** The longest turn in that time, and a checkpoint afterwards. */
  readonly savingMs: number;
  readonly checkpointMs: number;
  /** A wake while all of them are owed it, with the look through the log. */
  readonly wakeMs: number;
  readonly surveyMs: number;
}

const START = 1_700_000_000_000;
const LATER = START + 3 * 24 * 3600 * 1000;
/** Sessions that messages wait for, and their filters. */
const WAITING = { away: "queue/of/one", other: "queue/of/another" } as const;
const PLACEMENT = { shards: 1, depth: 2 };

export function measureBacklog({ batches }: BacklogOrder): BacklogPoint {
  const disk = new Disk();
  try {
    const { store, place, empty } = template(disk, PLACEMENT);
    const at = LATER - 3600 * 1000;
    const to = new ByteWriter();
    store.transaction(() => {
      for (const [session, filter] of Object.entries(WAITING)) {
        store.putSession({ session, ...FENCE, place });
        store.putSubscription(session, { ...subscription(filter), start: 0 });
      }
      const first = store.reserved() + 1;
      for (let offset = first; offset < first + batches; offset++) {
        const topic = offset === first ? WAITING.other : WAITING.away;
        const entry = { offset, message: { ...message(topic, 1), at, publisher: "publisher" } };
        writeEntry(to, entry);
        store.appendBatch([entry], at, to.take());
      }
      store.putReserved(first + batches);
    });
    const sql = disk.open("shard");
    const databaseBytes = sql.bytes - empty;
    const before = heldBytes();
    let subject: ShardSubject | undefined;
    const wakeMs = milliseconds(() => (subject = new ShardSubject(sql, LATER)));
    const heapBytes = heldBytes() - before;
    const survey = settle(subject!);
    const checkpointMs = checkpoint(subject!);
    const helloMs = milliseconds(() => resume(subject!, 1, "away", 0));
    const otherHelloMs = milliseconds(() => resume(subject!, 2, "other", 100));
    return { batches, databaseBytes, wakeMs, heapBytes, ...survey, checkpointMs, helloMs, otherHelloMs };
  } finally {
    disk.remove();
  }
}

function resume(subject: ShardSubject, link: number, session: keyof typeof WAITING, grants: number): void {
  subject.hello(link, session, {
    ...FENCE,
    epoch: FENCE.epoch + 1,
    persistent: true,
    grants,
    subscriptions: [{ ...subscription(WAITING[session]), start: undefined, scan: undefined }],
  });
}

export function measureBroadcast({ sessions }: BroadcastOrder): BroadcastPoint {
  const disk = new Disk();
  try {
    const { store, place } = template(disk, PLACEMENT);
    store.transaction(() => {
      for (let number = 0; number < sessions; number++) {
        store.putSession({ session: sessionNamed(number), ...FENCE, place });
        store.putSubscription(sessionNamed(number), { ...subscription("all/news"), start: 0 });
      }
    });
    const subject = new ShardSubject(disk.open("shard"), LATER);
    subject.alarm();
    subject.hello(1, "publisher");
    subject.advance(10_000);
    const rows = rowsChanged(subject.sql);
    const firstMs = milliseconds(() => subject.publish(1, message("all/news", 1)));
    const from = subject.now;
    let savingMs = 0;
    for (let at = subject.shard.deadline; at !== undefined; at = subject.shard.deadline) {
      subject.now = at;
      savingMs = Math.max(
        savingMs,
        milliseconds(() => subject.tick()),
      );
    }
    const saved = { rows: rowsChanged(subject.sql) - rows, awakeSeconds: (subject.now - from) / 1000 };
    const laterMs = milliseconds(() => subject.publish(1, message("all/news", 1)));
    const checkpointMs = checkpoint(subject);
    const sql = disk.open("shard");
    let woken: ShardSubject | undefined;
    const wakeMs = milliseconds(() => (woken = new ShardSubject(sql, subject.now + 60_000)));
    const { surveyMs } = settle(woken!);
    return { sessions, firstMs, laterMs, ...saved, savingMs, checkpointMs, wakeMs, surveyMs };
  } finally {
    disk.remove();
  }
}

/** The alarm after a wake, and what it leaves to do. */
function settle(subject: ShardSubject): { surveyMs: number; surveyTurnMs: number } {
  const turns = [milliseconds(() => subject.alarm())];
  for (let at = subject.shard.deadline; at !== undefined; at = subject.shard.deadline) {
    subject.now = Math.max(subject.now, at);
    turns.push(milliseconds(() => subject.tick()));
  }
  return { surveyMs: turns.reduce((sum, turn) => sum + turn, 0), surveyTurnMs: Math.max(...turns) };
}

/** Milliseconds. */
function checkpoint(subject: ShardSubject): number {
  return median(Array.from({ length: 5 }, () => milliseconds(() => subject.alarm())));
}
