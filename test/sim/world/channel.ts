/** One direction between two parties of a {@link World}: what is sent arrives later, in order, or not at all. */

import { type Agenda, Entry } from "./agenda.ts";
import type { Happening, Route } from "./step.ts";

/** What is sent, for whoever watches: bytes that the channel's route can name, or words. */
export type What = Uint8Array | string;

interface Arrival {
  readonly at: number;
  readonly sequence: number;
  readonly bytes: number;
  readonly run: () => void;
  readonly what: What;
}

export class Channel extends Entry {
  delayMs: number;
  readonly #agenda: Agenda;
  readonly #route: Route | undefined;
  readonly #queue: Arrival[] = [];
  #bytes = 0;
  #held = false;
  #dead = false;

  constructor(agenda: Agenda, delayMs: number, route?: Route) {
    super(0);
    this.#agenda = agenda;
    this.delayMs = delayMs;
    this.#route = route;
  }

  /** Nothing arrives while it is set, as if the network stood still. */
  get held(): boolean {
    return this.#held;
  }

  set held(held: boolean) {
    this.#held = held;
    this.#schedule();
  }

  /** Nothing arrives any more: what is on its way is lost, and whatever is sent. */
  get dead(): boolean {
    return this.#dead;
  }

  set dead(dead: boolean) {
    this.#dead = dead;
    if (dead) this.lose();
  }

  get length(): number {
    return this.#queue.length;
  }

  /** Bytes sent that have not arrived. */
  get bytes(): number {
    return this.#bytes;
  }

  push(now: number, sequence: number, run: () => void, bytes = 0, what: What = "", delayMs = this.delayMs): void {
    if (this.#dead) return;
    const at = Math.max(now + delayMs, this.#queue.at(-1)?.at ?? 0);
    this.#bytes += bytes;
    if (this.#queue.push({ at, sequence, bytes, run, what }) === 1) this.#schedule();
  }

  happen(): void {
    const { run, bytes } = this.#queue.shift()!;
    this.#bytes -= bytes;
    this.#schedule();
    run();
  }

  tell(): Happening {
    const { what } = this.#queue[0]!;
    const from = this.#route?.from.party ?? "";
    const to = this.#route?.to.party ?? "";
    return { from, to, what: typeof what === "string" ? what : (this.#route?.words(what) ?? `${what.length} bytes`) };
  }

  /** Loses what is on its way. */
  lose(): void {
    this.#queue.length = 0;
    this.#bytes = 0;
    this.#schedule();
  }

  #schedule(): void {
    const head = this.#held ? undefined : this.#queue[0];
    this.at = head?.at ?? Infinity;
    this.sequence = head?.sequence ?? 0;
    this.#agenda.put(this);
  }
}
