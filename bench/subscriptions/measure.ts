/** One matcher in a process of its own, with --expose-gc: `measure.ts <name>` prints a {@link Measured} as JSON. */

import type { Subscription } from "../../src/core/shard/attendance.ts";
import { type Client, MATCHERS, type MatcherName } from "./matcher.ts";
import { CLIENTS, population } from "./population.ts";

export interface Measured {
  /** Milliseconds. */
  readonly added: number;
  /** What a subscription takes of the heap in the matcher. */
  readonly bytes: number;
  /** What a shard keeps of it besides: its filter and options, in the map of its session. */
  readonly recordBytes: number;
  /** Of one match, with the reading of the clock, in nanoseconds. */
  readonly median: number;
  readonly p99: number;
  readonly max: number;
  /** Subscriptions found for each topic. */
  readonly found: { readonly median: number; readonly max: number; readonly total: number };
}

function heapBytes(): number {
  // A second one for what only the first made unreachable.
  for (let times = 0; times < 2; times++) globalThis.gc!();
  return process.memoryUsage().heapUsed;
}

/** As a shard has them when sessions have subscribed. */
function records(filters: readonly string[]): Map<string, Subscription>[] {
  const sessions = Array.from({ length: CLIENTS }, () => new Map<string, Subscription>());
  filters.forEach((filter, index) => {
    const own = Buffer.from(filter).toString();
    sessions[index % CLIENTS]!.set(own, {
      number: index,
      filter: own,
      qos: 1,
      noLocal: false,
      retainAsPublished: false,
      retainHandling: 0,
      identifier: 0,
      start: index,
      scan: undefined,
    });
  });
  return sessions;
}

function percentile(sorted: ArrayLike<number>, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
}

function measure(name: MatcherName): Measured {
  const { filters, topics } = population();
  const clients: Client[] = Array.from({ length: CLIENTS }, (_, index) => ({ id: `client-${index}` }));
  const matcher = MATCHERS[name]();
  const before = heapBytes();
  const start = performance.now();
  filters.forEach((filter, index) => matcher.add(filter, clients[index % CLIENTS]!));
  const added = performance.now() - start;
  const afterwards = heapBytes();
  const bytes = (afterwards - before) / filters.length;
  const sessions = records(filters);
  const recordBytes = (heapBytes() - afterwards) / filters.length;

  // A quarter of them first, so that what is measured has been compiled.
  for (const topic of topics.slice(0, topics.length / 4)) matcher.match(topic);
  const nanoseconds = new Float64Array(topics.length);
  const counts = new Float64Array(topics.length);
  topics.forEach((topic, index) => {
    const from = process.hrtime.bigint();
    counts[index] = matcher.match(topic);
    nanoseconds[index] = Number(process.hrtime.bigint() - from);
  });
  // So that all of it is still there.
  if (matcher.match("nobody") < 0 || filters.length + clients.length + sessions.length === 0)
    throw new Error("impossible");

  const total = counts.reduce((sum, count) => sum + count, 0);
  nanoseconds.sort();
  counts.sort();
  return {
    added,
    bytes,
    recordBytes,
    median: percentile(nanoseconds, 0.5),
    p99: percentile(nanoseconds, 0.99),
    max: nanoseconds.at(-1)!,
    found: { median: percentile(counts, 0.5), max: counts.at(-1)!, total },
  };
}

console.log(JSON.stringify(measure(process.argv[2] as MatcherName)));
