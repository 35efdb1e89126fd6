/** A shard with very many retained messages: bytes, the wake, and what those pay who subscribe. */

import { DEFAULT_LIMITS } from "../../src/core/limits.ts";
import { Retained } from "../../src/core/shard/retained.ts";
import { Disk, rowsChanged } from "./disk.ts";
import { heldBytes } from "./heap.ts";
import { sessionNamed } from "./population.ts";
import { message, ShardSubject } from "./shard-subject.ts";
import { microsecondsPerCall, milliseconds } from "./stopwatch.ts";

export interface RetainedOrder {
  readonly kind: "retained";
  readonly messages: number;
}

export interface RetainedPoint {
  readonly messages: number;
  readonly databaseBytes: number;
  readonly wakeMs: number;
  readonly heapBytes: number;
  /** µs for a PUBLISH that sets a new one at QoS 1, and its rows (an entry of an index is another for the platform). */
  readonly setUs: number;
  readonly rowsPerSet: number;
  /** µs for what a SUBSCRIBE to one topic looks up. */
  readonly exactUs: number;
  /** One page of 256 topics of `#`, the first and one from the middle. */
  readonly firstPageMs: number;
  readonly middlePageMs: number;
  /** All pages of a filter that matches ten of them by a prefix of its own, `devices/<id>/#`. */
  readonly narrowMs: number;
  /** All pages of a filter that matches half of them by a common prefix, `devices/#`. */
  readonly broadMs: number;
  /** All pages of a filter that matches ten, and has no prefix, `+/<id>/#`: what one turn then takes. */
  readonly unprefixedMs: number;
}

const START = 1_700_000_000_000;
const PER_DEVICE = 10;

export function measureRetained({ messages }: RetainedOrder): RetainedPoint {
  const disk = new Disk();
  try {
    const { empty, full } = fill(disk, messages);
    const sql = disk.open("shard");
    const before = heldBytes();
    let subject: ShardSubject | undefined;
    const wakeMs = milliseconds(() => (subject = new ShardSubject(sql, START + 60_000)));
    const heapBytes = heldBytes() - before;
    const looking = lookingUp(subject!, messages);
    return { messages, databaseBytes: full - empty, wakeMs, heapBytes, ...looking, ...setting(subject!) };
  } finally {
    disk.remove();
  }
}

/** Half of them below `devices/`, half below `things/`, ten to each. */
function topicOf(number: number): string {
  const owner = Math.floor(number / PER_DEVICE);
  return `${owner % 2 === 0 ? "devices" : "things"}/${sessionNamed(owner)}/state/${number % PER_DEVICE}`;
}

function fill(disk: Disk, messages: number): { empty: number; full: number } {
  const { store, sql } = new ShardSubject(disk.open("shard"), START);
  const empty = sql.bytes;
  store.transaction(() => {
    // Not in the order of their topics: an index that only grows at its end is filled too well.
    const step = coprime(messages);
    for (let set = 0, number = 0; set < messages; set++, number = (number + step) % messages) {
      const entry = { ...message(topicOf(number), 1, true), at: START, publisher: sessionNamed(number) };
      store.putRetained({ offset: set + 1, message: entry });
    }
    store.putReserved(messages);
  });
  return { empty, full: sql.bytes };
}

function coprime(to: number): number {
  const share = (a: number, b: number): number => (b === 0 ? a : share(b, a % b));
  let step = Math.floor(to * 0.618);
  while (share(step, to) !== 1) step += 1;
  return step;
}

function lookingUp(
  { store }: ShardSubject,
  messages: number,
): Pick<RetainedPoint, "exactUs" | "firstPageMs" | "middlePageMs" | "narrowMs" | "broadMs" | "unprefixedMs"> {
  const retained = new Retained(store, DEFAULT_LIMITS);
  const exactUs = microsecondsPerCall(2_000, (call) => {
    retained.page(topicOf((call * 7919) % messages), 0, messages);
  });
  const page = (after: number): number => microsecondsPerCall(20, () => retained.page("#", after, messages)) / 1000;
  const whole = (filter: string, expected: number): number => {
    let found = 0;
    const took = milliseconds(() => {
      for (let after: number | undefined = 0; after !== undefined;) {
        const { offsets, next } = retained.page(filter, after, messages);
        found += offsets.length;
        after = next;
      }
    });
    if (found !== expected) throw new Error(`${filter} found ${found}, not ${expected}`);
    return took;
  };
  const device = sessionNamed(2 * Math.floor(messages / PER_DEVICE / 4));
  return {
    exactUs,
    firstPageMs: page(0),
    middlePageMs: page(messages / 2),
    narrowMs: whole(`devices/${device}/#`, PER_DEVICE),
    broadMs: whole("devices/#", messages / 2),
    unprefixedMs: whole(`+/${device}/#`, PER_DEVICE),
  };
}

function setting(subject: ShardSubject): { setUs: number; rowsPerSet: number } {
  subject.hello(1, "publisher");
  const rows = rowsChanged(subject.sql);
  let set = 0;
  const setUs = microsecondsPerCall(200, () => subject.publish(1, message(`new/${++set}`, 1, true)));
  return { setUs, rowsPerSet: (rowsChanged(subject.sql) - rows) / set };
}
