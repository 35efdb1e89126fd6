/** The plots of `docs/scale.md`. */

import { decimalBytes, duration, short } from "./format.ts";
import { type Growth, ISOLATE_MIB, MANY_FILTERS } from "./growth.ts";
import { type Axis, type Bound, type Chart, type Line } from "./plot.ts";

const MEMORY: Bound = { name: `${ISOLATE_MIB} MiB: the memory of an isolate`, y: ISOLATE_MIB * 2 ** 20 };

/** By file name. */
export function chartsOf(growth: Growth): Record<string, Chart> {
  const one = growth.spreads.filter(({ shards }) => shards === 1).map(({ shard }) => shard);
  const { manyFilters, transientLinks, persistentLinks, backlogs, retained, broadcasts } = growth;
  const sessions: Axis = { label: "sessions in the shard, all of them away", format: short };
  const many: Axis = { label: "how many of them", format: short };
  const heap: Axis = { label: "heap after the wake", format: decimalBytes };
  const time = (label: string): Axis => ({ label, format: duration });
  return {
    memory: {
      title: "Memory of a shard",
      x: many,
      y: heap,
      lines: [
        line(
          "sessions away, 1 filter each",
          one,
          (at) => at.sessions,
          (at) => at.heapBytes,
        ),
        line(
          "links, persistent sessions",
          persistentLinks,
          (at) => at.links,
          (at) => at.heapBytes,
        ),
        line(
          "links, transient sessions",
          transientLinks,
          (at) => at.links,
          (at) => at.heapBytes,
        ),
        line(
          "batches of the log",
          backlogs,
          (at) => at.batches,
          (at) => at.heapBytes,
        ),
        line(
          "retained messages",
          retained,
          (at) => at.messages,
          (at) => at.heapBytes,
        ),
        line(
          `sessions away, ${MANY_FILTERS} filters each`,
          [manyFilters],
          (at) => at.sessions,
          (at) => at.heapBytes,
        ),
      ],
      bounds: [MEMORY],
    },
    wake: {
      title: "Time to wake",
      x: many,
      y: time("CPU before the first event"),
      lines: [
        line(
          "sessions away",
          one,
          (at) => at.sessions,
          (at) => at.wakeMs,
        ),
        line(
          "links, persistent sessions",
          persistentLinks,
          (at) => at.links,
          (at) => at.wakeMs,
        ),
        line(
          "links, transient sessions",
          transientLinks,
          (at) => at.links,
          (at) => at.wakeMs,
        ),
        line(
          "batches of the log",
          backlogs,
          (at) => at.batches,
          (at) => at.wakeMs,
        ),
        line(
          "retained messages",
          retained,
          (at) => at.messages,
          (at) => at.wakeMs,
        ),
      ],
    },
    shards: {
      title: "Memory of each shard, by the number of shards",
      x: { label: "shards (SHARDS)", format: short },
      y: heap,
      lines: [...new Set(growth.spreads.map((spread) => spread.sessions))].map((total) =>
        line(
          `${short(total)} sessions in all`,
          growth.spreads.filter((spread) => spread.sessions === total),
          (at) => at.shards,
          (at) => at.shard.heapBytes,
        ),
      ),
      bounds: [MEMORY],
    },
    work: {
      title: "What a shard does for somebody else",
      x: sessions,
      y: time("CPU of one"),
      lines: [
        line(
          "PUBLISH QoS 1 to one, with its ack",
          one,
          (at) => at.sessions,
          (at) => at.publishQos1Us / 1000,
        ),
        line(
          "PUBLISH QoS 0 to one",
          one,
          (at) => at.sessions,
          (at) => at.publishQos0Us / 1000,
        ),
        line(
          "hello of a session that is back",
          one,
          (at) => at.sessions,
          (at) => at.helloResumedUs / 1000,
        ),
        line(
          "hello of a new session",
          one,
          (at) => at.sessions,
          (at) => at.helloNewUs / 1000,
        ),
        line(
          "checkpoint",
          one,
          (at) => at.sessions,
          (at) => at.checkpointMs,
        ),
        line(
          "match of a literal filter",
          one,
          (at) => at.sessions,
          (at) => at.matchLiteralUs / 1000,
        ),
        line(
          "match of a wildcard",
          one,
          (at) => at.sessions,
          (at) => at.matchWildcardUs / 1000,
        ),
      ],
    },
    everybody: {
      title: "What concerns all sessions of a shard",
      x: { label: "sessions, or links", format: short },
      y: time("CPU of all of it"),
      lines: [
        line(
          "first checkpoint after a wake",
          one,
          (at) => at.sessions,
          (at) => at.firstCheckpointMs,
        ),
        line(
          "message for all, away: the first",
          broadcasts,
          (at) => at.sessions,
          (at) => at.firstMs,
        ),
        line(
          "message for all, away: a later one",
          broadcasts,
          (at) => at.sessions,
          (at) => at.laterMs,
        ),
        line(
          "checkpoint while all are owed it",
          broadcasts,
          (at) => at.sessions,
          (at) => at.checkpointMs,
        ),
        line(
          "message for all, here, QoS 1",
          persistentLinks,
          (at) => at.links,
          (at) => at.fanoutQos1Ms,
        ),
        line(
          "all links lost",
          persistentLinks,
          (at) => at.links,
          (at) => at.losingMs,
        ),
        line(
          "all links back",
          persistentLinks,
          (at) => at.links,
          (at) => at.returningMs,
        ),
      ],
    },
    retained: {
      title: "Retained messages: what a SUBSCRIBE looks up",
      x: { label: "retained messages in the shard", format: short },
      y: time("CPU"),
      lines: [
        line(
          "one topic",
          retained,
          (at) => at.messages,
          (at) => at.exactUs / 1000,
        ),
        line(
          "a page of #",
          retained,
          (at) => at.messages,
          (at) => at.middlePageMs,
        ),
        line(
          "devices/<id>/#, 10 match",
          retained,
          (at) => at.messages,
          (at) => at.narrowMs,
        ),
        line(
          "devices/#, half of them match",
          retained,
          (at) => at.messages,
          (at) => at.broadMs,
        ),
        line(
          "+/<id>/#, 10 match",
          retained,
          (at) => at.messages,
          (at) => at.unprefixedMs,
        ),
      ],
    },
  };
}

function line<Point>(
  name: string,
  points: readonly Point[],
  x: (point: Point) => number,
  y: (point: Point) => number,
): Line {
  return { name, points: points.map((point) => [x(point), y(point)] as const) };
}
