/**
 * At which size does a deployment meet a limit of the platform, or one of its own? Arithmetic over what was measured; what
 * happens then is in `docs/scale.md`.
 */

import { DEFAULT_LIMITS } from "../../src/core/limits.ts";
import { bytes, count, duration } from "./format.ts";
import { type Growth, ISOLATE_MIB, MANY_FILTERS } from "./growth.ts";

/** What a shard weighs, and what it takes for one event, as far as limits depend on it. */
export interface Weights {
  /** Heap of an idle session with one subscription, of each further one, of a link with its session, of a batch of the log. */
  readonly sessionBytes: number;
  readonly subscriptionBytes: number;
  readonly linkBytes: number;
  readonly batchBytes: number;
  /** Database of a session with one subscription, a retained message, and a batch of one message. */
  readonly storedSessionBytes: number;
  readonly storedRetainedBytes: number;
  readonly storedBatchBytes: number;
  /** CPU of the wake for a session. */
  readonly wakeUs: number;
  /** CPU of a frame with one message, at QoS 0, and at QoS 1 with the frame of its acknowledgement. */
  readonly qos0Us: number;
  readonly qos1Us: number;
  /** CPU of the turn in which a session comes back for which a message is the oldest of so many that are kept. */
  readonly resumeUs: number;
  /** CPU of the turn of a wildcard filter without a prefix, for a retained message. */
  readonly scanUs: number;
}

export function weightsOf(growth: Growth): Weights {
  const shard = growth.spreads.findLast(({ shards }) => shards === 1)!.shard;
  const same = growth.spreads.find(({ shards, sessions }) => shards === 1 && sessions === growth.manyFilters.sessions);
  const one = same?.shard ?? shard;
  const links = growth.persistentLinks.at(-1)!;
  const backlog = growth.backlogs.at(-1)!;
  const retained = growth.retained.at(-1)!;
  return {
    sessionBytes: shard.heapBytes / shard.sessions,
    subscriptionBytes: (growth.manyFilters.heapBytes - one.heapBytes) / one.sessions / (MANY_FILTERS - 1),
    linkBytes: links.heapBytes / links.links,
    batchBytes: backlog.heapBytes / backlog.batches,
    storedSessionBytes: shard.databaseBytes / shard.sessions,
    storedRetainedBytes: retained.databaseBytes / retained.messages,
    storedBatchBytes: backlog.databaseBytes / backlog.batches,
    wakeUs: (shard.wakeMs * 1000) / shard.sessions,
    qos0Us: shard.publishQos0Us,
    qos1Us: shard.publishQos1Us,
    resumeUs: (backlog.otherHelloMs * 1000) / backlog.batches,
    scanUs: (retained.unprefixedMs * 1000) / retained.messages,
  };
}

export interface Meeting {
  readonly limit: string;
  /** One shard meets it at. */
  readonly at: string;
  /** Shards that a million of them need, where more shards help. */
  readonly shardsForMillion: string;
}

const ISOLATE_BYTES = ISOLATE_MIB * 2 ** 20;
const MILLION = 1_000_000;
/** Requests a second, above which an object of the platform may refuse. */
const REQUESTS = 1_000;
const CPU_MS = 30_000;
/** A connection waits so long for a shard's answer to its hello (`link-life.ts`). */
const ATTACH_MS = 10_000;

export function meetings(weights: Weights): Meeting[] {
  const { shardLinksMax, shardBytesMax, logBytesMax } = DEFAULT_LIMITS;
  const fitting = (each: number, all = ISOLATE_BYTES): string => short(all / each);
  const shards = (each: number, all = ISOLATE_BYTES): string => count(Math.ceil((MILLION * each) / all));
  return [
    {
      limit: `${ISOLATE_MIB} MiB of memory, sessions with one subscription`,
      at: `${fitting(weights.sessionBytes)} sessions (${count(weights.sessionBytes)} B each)`,
      shardsForMillion: shards(weights.sessionBytes),
    },
    {
      limit: `… each further subscription`,
      at: `${fitting(weights.subscriptionBytes)} (${count(weights.subscriptionBytes)} B each)`,
      shardsForMillion: shards(weights.subscriptionBytes),
    },
    {
      limit: `… sessions that are here, each with a link`,
      at: `${fitting(weights.linkBytes)} (${count(weights.linkBytes)} B each): the links are fewer`,
      shardsForMillion: shards(weights.linkBytes),
    },
    {
      limit: `… batches of the log, kept for whoever is away`,
      at: `${fitting(weights.batchBytes)} (${count(weights.batchBytes)} B each)`,
      shardsForMillion: shards(weights.batchBytes),
    },
    {
      limit: `32,768 sockets an object; \`SHARD_LINKS_MAX\` is ${count(shardLinksMax)}`,
      at: `${count(shardLinksMax)} connections that use the shard`,
      shardsForMillion: `${count(Math.ceil(MILLION / shardLinksMax))}, if each uses one shard`,
    },
    {
      limit: `10 GB of storage; \`SHARD_BYTES_MAX\` is ${bytes(shardBytesMax)}, sessions`,
      at: `${fitting(weights.storedSessionBytes, shardBytesMax)} sessions (${count(weights.storedSessionBytes)} B each): never before memory`,
      shardsForMillion: shards(weights.storedSessionBytes, shardBytesMax),
    },
    {
      limit: `… retained messages of 64 bytes`,
      at: `${fitting(weights.storedRetainedBytes, shardBytesMax)} (${count(weights.storedRetainedBytes)} B each)`,
      shardsForMillion: shards(weights.storedRetainedBytes, shardBytesMax),
    },
    {
      limit: `\`LOG_BYTES_MAX\` is ${bytes(logBytesMax)}, batches of one message of 64 bytes`,
      at: `${fitting(weights.storedBatchBytes, logBytesMax)} (${count(weights.storedBatchBytes)} B each): memory is met before`,
      shardsForMillion: shards(weights.storedBatchBytes, logBytesMax),
    },
    {
      limit: `${count(REQUESTS)} requests a second an object, QoS 0`,
      at: `${count(REQUESTS)} frames a second; their CPU is ${share(REQUESTS * weights.qos0Us)} of a core`,
      shardsForMillion: "",
    },
    {
      limit: `… QoS 1 to one subscriber`,
      at: `${count(REQUESTS / 2)} messages a second, each with a frame of its own and one that acknowledges; their CPU is ${share((REQUESTS / 2) * weights.qos1Us)} of a core`,
      shardsForMillion: "",
    },
    {
      limit: `10 s from a hello to its answer`,
      at: `a wake with ${short((ATTACH_MS * 1000) / weights.wakeUs)} sessions (${count(weights.wakeUs)} µs each): more than memory holds`,
      shardsForMillion: "",
    },
    {
      limit: `${duration(CPU_MS)} of CPU an event, a session that comes back`,
      at: `${short((CPU_MS * 1000) / weights.resumeUs)} messages kept since it left (${count(weights.resumeUs)} µs each), its own or not`,
      shardsForMillion: "",
    },
    {
      limit: `… a wildcard in the first level, over retained messages`,
      at: `${short((CPU_MS * 1000) / weights.scanUs)} retained messages (${count(weights.scanUs)} µs each)`,
      shardsForMillion: "",
    },
  ];
}

/** Two digits are as many as the measurements carry. */
function short(value: number): string {
  return count(Number(value.toPrecision(2)));
}

/** @param microseconds of CPU in each second */
function share(microseconds: number): string {
  return `${Number((microseconds / 10_000).toPrecision(2))} %`;
}
