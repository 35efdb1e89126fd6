/**
 * The output gate of an object, and what it waits for. Writes become durable a while after their turn, all of them
 * together; whatever the object sends while some are not waits here, in order. A crash loses what waits, and the writes,
 * unless they had become durable just then.
 */

import type { Party } from "./step.ts";
import type { Timer } from "./timer.ts";
import type { World } from "./world.ts";

interface Waiting {
  readonly leave: () => void;
  readonly lost: (() => void) | undefined;
}

export class Gate {
  readonly #world: World;
  readonly #durable: () => void;
  readonly #timer: Timer;
  #waiting: Waiting[] = [];
  #unsaved = false;

  /** @param durable the writes are durable from now on */
  constructor(world: World, rank: number, party: Party, durable: () => void) {
    this.#world = world;
    this.#durable = durable;
    this.#timer = world.timer(rank, party, "saved", () => this.flush());
  }

  /** There are writes that a crash may lose. */
  get unsaved(): boolean {
    return this.#unsaved;
  }

  /** Something was written, and is durable after `delayMs` if nothing older is before. */
  wrote(delayMs: number): void {
    if (!this.#unsaved) this.#timer.set(this.#world.now + delayMs);
    this.#unsaved = true;
  }

  /**
   * Lets something out when all that has been written by now is durable.
   *
   * @param lost is called instead if the object crashes before
   */
  pass(leave: () => void, lost?: () => void): void {
    if (this.#unsaved) this.#waiting.push({ leave, lost });
    else leave();
  }

  /** What was written is durable. */
  flush(): void {
    if (!this.#unsaved) return;
    const waiting = this.#waiting;
    this.#reset();
    this.#durable();
    for (const { leave } of waiting) leave();
  }

  /** The object is no more, and says nothing of what waits. */
  lose(): void {
    const waiting = this.#waiting;
    this.#reset();
    for (const { lost } of waiting) lost?.();
  }

  #reset(): void {
    this.#waiting = [];
    this.#unsaved = false;
    this.#timer.set(undefined);
  }
}
