/** What devices like to do: how they connect, what they subscribe to and what they publish. */

import { FILTERS, TOPICS } from "../chaos-plan.ts";
import type { Version } from "../../sim/world/client.ts";
import type { Random } from "../random.ts";
import type { AttemptOptions } from "./attempt.ts";
import type { Publishing } from "./device.ts";
import { EXPIRIES, FOR_EVER, RECEIVE_MAXIMA, WILL_DELAYS, WORKERS } from "./plan.ts";
import type { Wanted } from "./subscriptions.ts";

/** @param transient sessions end with their connections */
export function connecting(random: Random, version: Version, transient: boolean): AttemptOptions {
  const five = version === 5;
  const clean = transient || random.chance(0.12);
  const will = {
    topic: random.of(TOPICS),
    qos: random.of([0, 1, 2, 2] as const),
    retain: random.chance(0.1),
    delaySeconds: five ? random.of(WILL_DELAYS) : 0,
  };
  return {
    version,
    clean,
    expirySeconds: five && !transient ? random.of(EXPIRIES) : undefined,
    receiveMaximum: random.of(RECEIVE_MAXIMA),
    worker: random.of(WORKERS),
    will: random.chance(0.7) ? will : undefined,
  };
}

/** A connection that keeps the session of the one before. */
export function resuming(random: Random, version: Version): AttemptOptions {
  const expirySeconds = version === 5 ? random.of([3600, FOR_EVER]) : undefined;
  return { ...connecting(random, version, false), clean: false, expirySeconds };
}

/** @param held filters that it is subscribed to, and may want on other terms */
export function subscribing(random: Random, version: Version, held: readonly string[]): Wanted[] {
  const five = version === 5;
  const identifier = five && random.chance(0.5) ? 1 + random.below(5) : 0;
  return Array.from({ length: random.of([1, 1, 2, 3]) }, () => ({
    filter: held.length > 0 && random.chance(0.3) ? random.of(held) : random.of(FILTERS),
    qos: random.of([0, 1, 1, 2, 2] as const),
    noLocal: five && random.chance(0.2),
    retainAsPublished: five && random.chance(0.2),
    retainHandling: five ? random.of([0, 0, 1, 2] as const) : 0,
    identifier,
  }));
}

export function publishing(random: Random, version: Version): Publishing {
  const retain = random.chance(0.2);
  return {
    topic: random.of(TOPICS),
    qos: random.of([0, 1, 1, 2, 2] as const),
    retain,
    clears: retain && random.chance(0.2),
    expirySeconds: version === 5 && !retain && random.chance(0.06) ? random.of([1, 3, 30]) : undefined,
  };
}
