/** The calls of one object to another: they are carried out in the order in which they were made, or fail. */

import type { Channel } from "./channel.ts";
import type { SessionNode, ShardNode } from "./node.ts";
import type { World } from "./world.ts";

export interface Call {
  readonly from: SessionNode;
  readonly to: ShardNode;
  readonly what: "publishWill" | "wipe";
}

/** What the platform makes of a call. Nothing said: it is carried out and answered, after the usual delays. */
export interface Fate {
  /** It never gets there; or it is carried out and its answer gets lost. Both look the same to the caller. */
  readonly fails?: "before" | "after" | undefined;
  /** How long it is on its way; those behind it wait for it. */
  readonly delayMs?: number | undefined;
  /** How long its answer is on its way. */
  readonly answerDelayMs?: number | undefined;
  /** It goes a way of its own, as a call over another stub may: it may overtake others and be overtaken. */
  readonly alone?: boolean | undefined;
}

export class Calls {
  readonly #world: World;
  readonly #from: SessionNode;
  readonly #to: ShardNode;
  readonly #requests: Channel;
  readonly #answers: Channel;

  constructor(world: World, from: SessionNode, to: ShardNode) {
    this.#world = world;
    this.#from = from;
    this.#to = to;
    this.#requests = this.#way(from, to);
    this.#answers = this.#way(to, from);
  }

  /**
   * @param run carries it out; returns false when it failed
   * @param answered hears whether it was done, as far as the caller is told
   */
  make(what: Call["what"], run: () => boolean, answered: (done: boolean) => void): void {
    const world = this.#world;
    const fate = world.onCall?.({ from: this.#from, to: this.#to, what }) ?? {};
    const requests = fate.alone ? this.#way(this.#from, this.#to) : this.#requests;
    const answers = fate.alone ? this.#way(this.#to, this.#from) : this.#answers;
    const answer = (done: boolean): void => {
      const words = `${what} ${done ? "done" : "failed"}`;
      world.push(answers, () => answered(done), 0, words, fate.answerDelayMs);
    };
    const arrive = (): void => {
      if (fate.fails === "before" || !run()) answer(false);
      else
        this.#to.out(
          () => answer(fate.fails !== "after"),
          () => answer(false),
        );
    };
    world.push(requests, arrive, 0, what, fate.delayMs);
  }

  #way(from: SessionNode | ShardNode, to: SessionNode | ShardNode): Channel {
    return this.#world.channel({ from, to, words: () => "" });
  }
}
