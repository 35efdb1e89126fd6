/**
 * Does what is known of the client still hold? Users, rules and bans may change while it is connected, and nobody tells the
 * connection. So when something is about to pass and what is known is too old, it asks, and nothing passes until that is
 * answered: the client's packets wait where they arrive, and frames of shards wait here, in their order.
 *
 * - Where nothing passes nothing is asked: an idle client costs nothing, and PINGREQ is nothing that passes.
 * - It does not wait for ever. Without an answer things go on by what was last known, and a later answer counts all the same.
 * - What a link brings is lost with the link, as if it had not arrived: its shard knows what was not taken.
 */

import type { Doubt } from "../authentication/asking.ts";
import type { Identity } from "../authentication/identity.ts";

/** How long things may wait for an answer. */
export const HOLD_MS = 2_000;
/** Where no answer is to be had, it is asked again no earlier. */
const RETRY_MS = 1_000;

export class Standing {
  #staleAt = Infinity;
  /** The latest question that is not answered. */
  #doubt: Doubt | undefined;
  #waitUntil: number | undefined;
  #frames: { readonly shard: number; readonly frame: Uint8Array }[] = [];

  /** What is known of the client is as it should be until then; Infinity: for good. */
  known(freshUntil: number, now: number): void {
    this.#waitUntil = undefined;
    this.#staleAt = freshUntil > now ? freshUntil : now + RETRY_MS;
  }

  /** There is no answer: things go on by what was last known. */
  lapse(now: number): void {
    this.#waitUntil = undefined;
    this.#staleAt = now + RETRY_MS;
  }

  /** The client has just proven anew who it is: what was asked about it does not matter any more. */
  renewed(): void {
    this.#doubt = undefined;
  }

  /** Nothing passes before it is asked. */
  isStale(now: number): boolean {
    return now >= this.#staleAt;
  }

  /** Nothing passes before it is answered. */
  get isWaiting(): boolean {
    return this.#waitUntil !== undefined;
  }

  /** When to go on without an answer. */
  get deadline(): number | undefined {
    return this.#waitUntil;
  }

  ask(identity: Identity, now: number): Doubt {
    this.#doubt = { type: "current", identity };
    this.#waitUntil = now + HOLD_MS;
    return this.#doubt;
  }

  /** Returns false when something else was asked meanwhile, or nothing is to be known any more. */
  answered(doubt: Doubt): boolean {
    if (doubt !== this.#doubt) return false;
    this.#doubt = undefined;
    return true;
  }

  hold(shard: number, frame: Uint8Array): void {
    this.#frames.push({ shard, frame });
  }

  /** The link to a shard is gone, and what it brought with it. */
  drop(shard: number): void {
    if (this.#frames.length > 0) this.#frames = this.#frames.filter((held) => held.shard !== shard);
  }

  /** The frame that came first; undefined: none waits. */
  release(): { readonly shard: number; readonly frame: Uint8Array } | undefined {
    return this.#frames.shift();
  }
}
