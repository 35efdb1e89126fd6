/** What a seed decides before anything happens. */

import type { Limits, Settings } from "../../src/core/limits.ts";
import { SHARE_STRATEGIES } from "../../src/core/shard/share-strategy.ts";
import { Random } from "../support/random.ts";
import type { AccessKind } from "./access.ts";
import { quotas } from "./quotas.ts";

export interface SimulationPlan {
  readonly shards: number;
  /** How long everything takes that is sent, in ms. */
  readonly delayMs: number;
  readonly alarmLateMs: number;
  /** How long writes take to become durable. */
  readonly unsavedMs: number;
  readonly alarmRetryMs: number;
  readonly limits: Partial<Limits>;
  /** Some of these are so low that they are met. */
  readonly limited: boolean;
  readonly settings: Partial<Settings>;
  /** How much longer than usual clients take for everything. */
  readonly pace: number;
  /** How long load and faults run. */
  readonly seconds: number;
  /** Time between two faults, on average. */
  readonly faultEveryMs: number;
  /** So many kinds of fault at most. */
  readonly faultKinds: number;
  /** How many share groups there are. */
  readonly groups: number;
  /** How many clients break the protocol. */
  readonly rude: number;
  readonly access: AccessKind;
}

export function planOf(seed: number): SimulationPlan {
  const random = new Random(seed ^ 0x5eed);
  const pace = random.of([1, 1, 1, 5, 40]);
  const seconds = 2 * pace;
  const plan = {
    shards: random.of([1, 2, 4]),
    delayMs: random.of([0, 1, 5]),
    alarmLateMs: random.of([0, 0, 2_000, 10_000]),
    unsavedMs: random.of([0, 0, 1, 10]),
    alarmRetryMs: 2_000,
    limits: {
      inflightMax: random.of([1, 2, 3, 1024, 1024, 1024, 1024]),
      receiveMaximum: random.of([1, 4, 256, 256]),
      deliveryBacklogBytesMax: random.of([64 * 1024, 1024 * 1024]),
    },
    pace,
    seconds,
    // None at all now and then: what must hold in peace is more.
    faultEveryMs: random.of([3, 1 / 4, 1 / 15, 1 / 15, 1 / 50, 1 / 50]) * seconds * 1000,
    faultKinds: random.of([1, 3, 100, 100, 100, 100]),
    groups: random.of([0, 1, 1, 2]),
    settings: { shareStrategy: random.of(SHARE_STRATEGIES) },
    rude: random.of([0, 0, 1, 2]),
  };
  const low = quotas(random);
  const access = Random.stream(seed, "access").of<AccessKind>(["open", "open", "changing", "asking"]);
  return { ...plan, access, limits: { ...plan.limits, ...low }, limited: Object.keys(low).length > 0 };
}
