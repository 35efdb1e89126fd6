/** What a seed decides before anything happens: the size of the world, its limits, and which faults it has. */

import type { Limits } from "../../src/core/limits.ts";
import type { Random } from "./random.ts";

export type Fault =
  | "crashShard"
  | "crashSession"
  | "evictShard"
  | "evictSession"
  | "dropLink"
  | "failShard"
  | "failSession"
  | "hideShard"
  | "delayLink"
  | "alarm"
  | "slow"
  | "deaf"
  | "cut"
  | "leave"
  | "storm"
  | "kill";

export const FAULTS: readonly Fault[] = [
  "crashShard",
  "crashSession",
  "evictShard",
  "evictSession",
  "dropLink",
  "failShard",
  "failSession",
  "hideShard",
  "delayLink",
  "alarm",
  "slow",
  "deaf",
  "cut",
  "leave",
  "storm",
  "kill",
];

export interface Plan {
  readonly shards: number;
  readonly delayMs: number;
  readonly alarmLateMs: number;
  readonly limits: Partial<Limits>;
  /** Clients that publish and subscribe as they like. */
  readonly members: number;
  /** Clients that only subscribe, all of them to the one topic `crowd`; enough for a wide fan-out. */
  readonly crowd: number;
  readonly events: number;
  /** Bytes that every payload is filled up to; enough of them fill a backlog. */
  readonly payloadBytes: number;
}

export const CROWD_TOPIC = "crowd";
export const TOPICS = ["a/1", "a/2/x", "b", "b/1", "c/3/y/z", "/", "d"];
export const FILTERS = ["#", "a/#", "+/1", "b", "b/+", "+/+/x", "/", "c/3/#", "d", "a/1", CROWD_TOPIC];

export function planOf(random: Random): Plan {
  const wide = random.chance(0.06);
  const heavy = !wide && random.chance(0.1);
  return {
    shards: random.of(wide ? [1, 2] : [1, 2, 4]),
    delayMs: random.of([0, 1, 5]),
    alarmLateMs: random.of([0, 0, 2_000]),
    limits: {
      inflightMax: random.of([1, 2, 3, 1024]),
      deliveryBacklogBytesMax: heavy ? 64 * 1024 : 1024 * 1024,
    },
    members: wide ? 3 : random.of([4, 6, 8]),
    crowd: wide ? 34 : 0,
    events: wide ? 90 : 220,
    payloadBytes: heavy ? 9_000 : 0,
  };
}

const known = new Map<string, boolean>();

/** The matching rules as a regular expression. */
export function matches(filter: string, topic: string): boolean {
  const key = `${filter} ${topic}`;
  let match = known.get(key);
  if (match === undefined) {
    const levels = filter
      .split("/")
      .map((level) => (level === "+" ? "/[^/]*" : level === "#" ? "(/.*)?" : `/${level}`));
    match = new RegExp(`^${levels.join("")}$`).test(`/${topic}`);
    known.set(key, match);
  }
  return match;
}
