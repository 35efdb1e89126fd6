/** What a seed decides before anything happens, and what devices choose from. */

import type { Limits } from "../../../src/core/limits.ts";
import type { Random } from "../random.ts";

export type Fault =
  | "crashShard"
  | "crashSession"
  | "evictShard"
  | "evictSession"
  | "dropLink"
  | "deadLink"
  | "failShard"
  | "failSession"
  | "hideShard"
  | "delayLink"
  | "lag"
  | "calls"
  | "deploy"
  | "alarm"
  | "slow"
  | "deaf"
  | "storm"
  | "kill"
  | "power";

export const FAULTS: readonly Fault[] = [
  "crashShard",
  "crashSession",
  "evictShard",
  "evictSession",
  "dropLink",
  "deadLink",
  "failShard",
  "failSession",
  "hideShard",
  "delayLink",
  "lag",
  "calls",
  "deploy",
  "alarm",
  "slow",
  "deaf",
  "deaf",
  "storm",
  "kill",
  "power",
];

export interface Plan {
  readonly shards: number;
  readonly delayMs: number;
  readonly alarmLateMs: number;
  /** How long writes take to become durable, unless a fault changes that for an object. */
  readonly unsavedMs: number;
  /** When an object goes to sleep by itself. */
  readonly idleMs: number | undefined;
  readonly limits: Partial<Limits>;
  /** The longest that a session may outlive its connection. */
  readonly expirySecondsMax: number;
  /** Devices that come and go, beside the witness that is always there. */
  readonly devices: number;
  /** After each round everything heals, and everything that is owed must have come. */
  readonly rounds: number;
  /** In a round. */
  readonly events: number;
  readonly faultChance: number;
  /** Bytes that every payload is filled up to; enough of them fill a backlog. */
  readonly payloadBytes: number;
}

export const WORKERS = ["w1", "w2"] as const;
/** Session Expiry Interval for ever [MQTT §3.1.2.11.2]. */
export const FOR_EVER = 0xffff_ffff;
export const EXPIRIES = [undefined, 0, 5, 5, 60, 60, 60, 3600, 3600, FOR_EVER, FOR_EVER] as const;
export const WILL_DELAYS = [0, 0, 1, 10, 10, 100] as const;
export const RECEIVE_MAXIMA = [1, 2, 3, 1000] as const;
/** How long devices stay away: before, at and after delays, expiries and the grace of lost links. */
export const ABSENCES_MS = [
  0, 1, 30, 300, 900, 1_100, 3_000, 4_900, 5_100, 6_000, 9_000, 11_000, 30_000, 41_000, 50_000, 59_000, 61_000, 99_000,
  102_000, 145_000, 300_000,
] as const;

export function planOf(random: Random): Plan {
  const heavy = random.chance(0.06);
  const expirySecondsMax = random.of([90 * 86_400, 90 * 86_400, 90 * 86_400, 86_400, 30]);
  const rounds = random.of([1, 1, 2]);
  return {
    shards: random.of([1, 2, 4]),
    delayMs: random.of([0, 1, 5]),
    alarmLateMs: random.of([0, 0, 2_000]),
    unsavedMs: random.of([0, 0, 1, 10, 100]),
    idleMs: random.of([undefined, 10_000]),
    limits: {
      inflightMax: random.of([1, 2, 3, 1024, 1024]),
      receiveMaximum: random.of([1, 4, 256, 256]),
      deliveryBacklogBytesMax: heavy ? 64 * 1024 : 1024 * 1024,
      sessionExpirySecondsMax: expirySecondsMax,
    },
    expirySecondsMax,
    devices: random.of([1, 2, 3, 4, 5]),
    rounds,
    events: Math.floor(240 / rounds),
    faultChance: random.of([0.02, 0.06, 0.06, 0.12]),
    payloadBytes: heavy ? 9_000 : 0,
  };
}
