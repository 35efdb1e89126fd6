/** What was measured, as Markdown. */

import { table } from "../report.ts";
import { bytes, count, duration } from "./format.ts";
import { type Growth, ISOLATE_MIB, MANY_FILTERS } from "./growth.ts";
import { meetings, weightsOf } from "./limits.ts";

/** A column: its title, and what it shows of a point. */
type Column<Point> = readonly [title: string, of: (point: Point) => string];

export function tablesOf(growth: Growth): string[] {
  const one = growth.spreads.filter(({ shards }) => shards === 1).map(({ shard }) => shard);
  const micro = (value: number): string => count(value);
  return [
    ...section(
      "Idle sessions in one shard",
      [...one],
      [
        ["sessions", (at) => count(at.sessions)],
        ["rows each", (at) => count(at.rowsPerSession)],
        ["stored, each", (at) => `${count(at.databaseBytes / at.sessions)} B`],
        ["heap, each", (at) => `${count(at.heapBytes / at.sessions)} B`],
        ["heap", (at) => bytes(at.heapBytes)],
        ["wake", (at) => duration(at.wakeMs)],
        ["first checkpoint", (at) => duration(at.firstCheckpointMs)],
        ["checkpoint", (at) => duration(at.checkpointMs)],
        ["alarm", (at) => duration(at.alarmMs)],
      ],
    ),
    `With ${MANY_FILTERS} filters each, ${count(growth.manyFilters.sessions)} sessions take ` +
      `${count(growth.manyFilters.heapBytes / growth.manyFilters.sessions)} B of heap and ` +
      `${count(growth.manyFilters.databaseBytes / growth.manyFilters.sessions)} B of storage each, and wake in ` +
      `${duration(growth.manyFilters.wakeMs)}. In a process whose heap is bounded to ${ISOLATE_MIB} MiB, ` +
      `${count(growth.fits)} sessions of one filter woke and ${count(growth.tooMany)} did not.`,
    "",
    ...section(
      "Work for somebody else beside them, µs",
      [...one],
      [
        ["sessions", (at) => count(at.sessions)],
        ["match, literal", (at) => micro(at.matchLiteralUs)],
        ["match, `+`", (at) => micro(at.matchWildcardUs)],
        ["PUBLISH QoS 0 to one", (at) => micro(at.publishQos0Us)],
        ["QoS 1, with its ack", (at) => micro(at.publishQos1Us)],
        ["rows of it", (at) => count(at.rowsPerPublishQos1)],
        ["hello, new", (at) => micro(at.helloNewUs)],
        ["hello, back", (at) => micro(at.helloResumedUs)],
        ["SUBSCRIBE", (at) => micro(at.subscribeUs)],
      ],
    ),
    ...section("The same sessions over more shards: the fullest shard", growth.spreads, [
      ["sessions in all", (at) => count(at.sessions)],
      ["shards", (at) => count(at.shards)],
      ["its sessions", (at) => count(at.shard.sessions)],
      ["the emptiest one's", (at) => count(at.shard.sessionsMin)],
      ["stored", (at) => bytes(at.shard.databaseBytes)],
      ["heap", (at) => bytes(at.shard.heapBytes)],
      ["wake", (at) => duration(at.shard.wakeMs)],
      ["PUBLISH QoS 1, µs", (at) => micro(at.shard.publishQos1Us)],
      [`in ${ISOLATE_MIB} MiB`, (at) => (at.shard.heapBytes < ISOLATE_MIB * 2 ** 20 * 0.9 ? "yes" : "**no**")],
    ]),
    ...section("A session with a wildcard in its first levels: connect, subscribe, leave", growth.everywhere, [
      ["shards", (at) => count(at.shards)],
      ["frames to shards", (at) => count(at.frames)],
      ["rows in shards", (at) => count(at.rows)],
      ["CPU in all of them", (at) => duration(at.cpuMs)],
    ]),
    ...section(
      "Links",
      [
        ...growth.transientLinks.map((at) => ({ ...at, kind: "transient" })),
        ...growth.persistentLinks.map((at) => ({ ...at, kind: "persistent" })),
      ],
      [
        ["links", (at) => count(at.links)],
        ["sessions", (at) => at.kind],
        ["attachment", (at) => `${count(at.attachmentBytes)} B`],
        ["heap, each", (at) => `${count(at.heapBytes / at.links)} B`],
        ["heap", (at) => bytes(at.heapBytes)],
        ["wake", (at) => duration(at.wakeMs)],
        ["QoS 0 to all", (at) => duration(at.fanoutQos0Ms)],
        ["QoS 1 to all", (at) => duration(at.fanoutQos1Ms)],
        ["their acks", (at) => duration(at.acknowledgingMs)],
        ["all lost", (at) => duration(at.losingMs)],
        ["all back", (at) => duration(at.returningMs)],
        ["rows of that", (at) => count(at.rowsOfLoss)],
      ],
    ),
    ...section("One QoS 1 message for all sessions of a shard, all of them away", growth.broadcasts, [
      ["sessions", (at) => count(at.sessions)],
      ["the first", (at) => duration(at.firstMs)],
      ["a later one", (at) => duration(at.laterMs)],
      ["rows until all is saved", (at) => count(at.rows)],
      ["awake for", (at) => `${count(at.awakeSeconds)} s`],
      ["checkpoint while owed", (at) => duration(at.checkpointMs)],
      ["wake", (at) => duration(at.wakeMs)],
      ["look through the log", (at) => duration(at.surveyMs)],
    ]),
    ...section("Messages that wait, each a batch of its own", growth.backlogs, [
      ["batches", (at) => count(at.batches)],
      ["stored, each", (at) => `${count(at.databaseBytes / at.batches)} B`],
      ["heap, each", (at) => `${count(at.heapBytes / at.batches)} B`],
      ["heap", (at) => bytes(at.heapBytes)],
      ["wake", (at) => duration(at.wakeMs)],
      ["look through the log", (at) => duration(at.surveyMs)],
      ["longest turn of it", (at) => duration(at.surveyTurnMs)],
      ["checkpoint", (at) => duration(at.checkpointMs)],
      ["the session is back", (at) => duration(at.helloMs)],
      ["one is back that the oldest was for", (at) => duration(at.otherHelloMs)],
    ]),
    ...section("Retained messages", growth.retained, [
      ["messages", (at) => count(at.messages)],
      ["stored, each", (at) => `${count(at.databaseBytes / at.messages)} B`],
      ["heap", (at) => bytes(at.heapBytes)],
      ["wake", (at) => duration(at.wakeMs)],
      ["set, QoS 1", (at) => duration(at.setUs / 1000)],
      ["one topic", (at) => duration(at.exactUs / 1000)],
      ["page of `#`", (at) => duration(at.middlePageMs)],
      ["`devices/<id>/#`", (at) => duration(at.narrowMs)],
      ["`devices/#`", (at) => duration(at.broadMs)],
      ["`+/<id>/#`", (at) => duration(at.unprefixedMs)],
    ]),
    ...section("Session objects", growth.sessions.lives, [
      ["session", (at) => at.name],
      ["stored, here", (at) => bytes(at.bytesHere)],
      ["stored, away", (at) => bytes(at.bytesAway)],
      ["rows: CONNECT", (at) => count(at.connectRows)],
      ["SUBSCRIBE", (at) => count(at.subscribeRows)],
      ["DISCONNECT", (at) => count(at.disconnectRows)],
      ["CONNECT again", (at) => count(at.resumeRows)],
      ["its end", (at) => count(at.endRows)],
    ]),
    `A wake takes ${duration(growth.sessions.wakeUs / 1000)}, a CONNECT at a new object with its first table ` +
      `${duration(growth.sessions.connectUs / 1000)}, and the core of one ${count(growth.sessions.heapBytes)} B of heap.`,
    "",
    ...section("Where limits are met", meetings(weightsOf(growth)), [
      ["limit", (at) => at.limit],
      ["one shard meets it at", (at) => at.at],
      ["shards for a million", (at) => at.shardsForMillion],
    ]),
  ];
}

function section<Point>(title: string, points: readonly Point[], columns: readonly Column<Point>[]): string[] {
  const rows = points.map((point) => columns.map(([, of]) => of(point)));
  return [
    `### ${title}`,
    "",
    ...table(
      columns.map(([name]) => name),
      rows,
    ),
    "",
  ];
}
