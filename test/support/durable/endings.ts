/**
 * When is a connection over, for its session object? When its driver is done, if its Worker lives to say so; if not, the
 * object counts it as over a while after its link was lost, unless it lost its memory as well: then not before it is
 * woken.
 */

import type { World } from "../../sim/world/world.ts";
import type { Attempt } from "./attempt.ts";
import type { History } from "./history.ts";

/** How long the broker waits for a lost link, and a little for the way to it. */
const GRACE_MS = 41_000;
/** A link that was lost with the memory of its object is there again by then, if its connection lives. */
const BACK_MS = 3_000;

export class Endings {
  readonly #attempts: readonly Attempt[];
  readonly #world: World;
  readonly #history: History;
  /** When the session object lost its memory last. */
  #blurredMs = -Infinity;

  constructor(attempts: readonly Attempt[], world: World, history: History) {
    this.#attempts = attempts;
    this.#world = world;
    this.#history = history;
  }

  /** The Worker is about to die. Returns the connections that die with it. */
  killed(worker: string): Attempt[] {
    const { now } = this.#world;
    const dying = this.#attempts.filter(({ options, overAt }) => options.worker === worker && overAt === undefined);
    for (const attempt of dying) {
      attempt.killed = true;
      attempt.overAt = this.#history.mark();
      attempt.goneMs = now;
      attempt.sessionLink = attempt.socket.driver.links.get("session");
      const lostMs = Math.max(now, attempt.sessionLink?.objectLearnsAt ?? 0);
      attempt.overMs = this.#blurredMs > now - BACK_MS ? Infinity : lostMs + this.#graceMs;
    }
    return dying;
  }

  /** The session object has lost its memory and does not know what became of its links. */
  blurred(): void {
    const { now } = this.#world;
    this.#blurredMs = now;
    for (const attempt of this.#attempts) if (attempt.killed && attempt.overMs > now) attempt.overMs = Infinity;
  }

  /** The session object was woken, and counts who is not there as lost. */
  rung(): void {
    const { now } = this.#world;
    for (const attempt of this.#attempts) {
      if (!attempt.killed || (attempt.sessionLink?.objectLearnsAt ?? 0) > now) continue;
      attempt.overMs = Math.min(attempt.overMs, now + this.#graceMs);
    }
  }

  /** Takes note of connections that are over by now. */
  observe(present: Attempt | undefined): void {
    const { now } = this.#world;
    for (const attempt of this.#attempts) {
      if (attempt.overAt !== undefined || !attempt.socket.driver.done) continue;
      attempt.overAt = this.#history.mark();
      attempt.goneMs = now;
      // One that was never told that it is welcome does not come back to say that it is over.
      attempt.overMs = attempt.connack ? now : now + this.#graceMs;
      this.#history.note(attempt.name, "is over");
    }
    if (present?.aloneAt !== Infinity) return;
    // Shards go on for a moment with the links of a Worker that has died.
    const alone = this.#attempts.every(
      (other) => other === present || other.goneMs + (other.killed ? 1_000 : 0) <= now,
    );
    if (alone) present.aloneAt = this.#history.mark();
  }

  /** A connection that nothing is heard of counts as over when so much time has passed. */
  get #graceMs(): number {
    return GRACE_MS + this.#world.alarmLateMs;
  }
}
