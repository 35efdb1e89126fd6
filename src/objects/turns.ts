/**
 * The turns of an object: an event comes in, the core works it out, its effects are performed in order. All that the
 * objects have in common around their cores.
 */

import { Alarm } from "./alarm.ts";
import type { Sockets } from "./sockets.ts";

/** What the platform's events mean to a core. */
export interface Core<Effect> {
  readonly alarmAt: number | undefined;
  start(now: number): readonly Effect[];
  frame(link: number, frame: Uint8Array, now: number): readonly Effect[];
  /** @param link undefined when it closed while the object slept */
  closed(link: number | undefined, now: number): readonly Effect[];
  alarm(now: number): readonly Effect[];
}

export class Turns<Effect> {
  readonly #ctx: DurableObjectState;
  readonly #sockets: Sockets;
  readonly #alarm: Alarm;
  readonly #core: Core<Effect>;
  readonly #do: (effect: Effect) => void;

  /** @param perform performs one effect */
  constructor(ctx: DurableObjectState, sockets: Sockets, core: Core<Effect>, perform: (effect: Effect) => void) {
    this.#ctx = ctx;
    this.#sockets = sockets;
    this.#core = core;
    this.#do = perform;
    this.#alarm = new Alarm(ctx.storage);
    void ctx.blockConcurrencyWhile(async () => {
      await this.#alarm.load();
      this.take(() => core.start(Date.now()));
    });
  }

  /** Takes a turn. One that throws may have left memory ahead of storage: the object starts again from what is stored. */
  take(turn: () => readonly Effect[]): void {
    try {
      for (const effect of turn()) this.#do(effect);
    } catch (error) {
      console.error(`${this.#ctx.id.name} failed and restarts`, error);
      this.#ctx.abort("a turn failed");
      throw error;
    }
    this.#alarm.ensure(this.#core.alarmAt);
  }

  message(socket: WebSocket, frame: ArrayBuffer | string): void {
    const link = this.#sockets.link(socket);
    if (link === undefined || typeof frame === "string") return;
    this.take(() => this.#core.frame(link, new Uint8Array(frame), Date.now()));
  }

  closed(socket: WebSocket, code: number): void {
    const link = this.#sockets.closed(socket, code);
    if (link !== null) this.take(() => this.#core.closed(link, Date.now()));
  }

  alarm(): void {
    this.#alarm.gone();
    this.take(() => this.#core.alarm(Date.now()));
  }

  /** Everything that is stored is deleted, at once; nobody waits until that is durable. */
  wipe(): void {
    void this.#ctx.storage.deleteAll();
    this.#alarm.gone();
  }
}
