/**
 * Which shards have still to forget a session that is over? A later CONNECT does not wait for them: shards tell the lives
 * of a session apart by their generation.
 */

import { Attempts } from "./attempts.ts";
import type { SessionStore, Wipe } from "./store.ts";

export class Wipes {
  readonly #store: SessionStore;
  /** The generation that is over, by shard. */
  readonly #wipes: Map<number, number>;
  readonly #attempts = new Attempts<number>();

  constructor(store: SessionStore) {
    this.#store = store;
    this.#wipes = new Map(store.wipes().map(({ shard, generation }) => [shard, generation]));
  }

  get empty(): boolean {
    return this.#wipes.size === 0;
  }

  /** The latest generation that is over and not forgotten; 0 for none. */
  get generation(): number {
    return Math.max(0, ...this.#wipes.values());
  }

  get alarmAt(): number | undefined {
    let at: number | undefined;
    for (const shard of this.#wipes.keys()) at = Math.min(at ?? Infinity, this.#attempts.at(shard, 0));
    return at;
  }

  add(wipe: Wipe): void {
    this.#store.putWipe(wipe);
    this.#wipes.set(wipe.shard, wipe.generation);
    this.#attempts.done(wipe.shard);
  }

  /** Calls `wipe` for the shards whose turn it is. */
  run(now: number, wipe: (wipe: Wipe) => void): void {
    for (const [shard, generation] of this.#wipes) {
      if (this.#attempts.begin(shard, now)) wipe({ shard, generation });
    }
  }

  done({ shard, generation }: Wipe): void {
    if (this.#wipes.get(shard) !== generation) return;
    this.#attempts.done(shard);
    this.#wipes.delete(shard);
    this.#store.deleteWipe(shard);
  }

  failed({ shard, generation }: Wipe, now: number): void {
    if (this.#wipes.get(shard) === generation) this.#attempts.failed(shard, now);
  }
}
