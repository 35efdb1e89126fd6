/**
 * The wills of a session's connections: when is each to be published, and has its shard got it? A will is stored with
 * CONNECT and goes when its shard has it or its client said goodbye [MQTT-3.1.2-10]. Its shard stores that it published
 * it, so a call that is made twice publishes once.
 */

import type { Departed } from "../../link/records.ts";
import type { Message } from "../../mqtt/message.ts";
import { Attempts } from "./attempts.ts";
import type { SessionStore, Will } from "./store.ts";

export class Wills {
  readonly #store: SessionStore;
  /** By epoch, oldest first. */
  readonly #wills: Map<number, Will>;
  readonly #attempts = new Attempts<number>();

  constructor(store: SessionStore) {
    this.#store = store;
    this.#wills = new Map(store.wills().map((will) => [will.epoch, will]));
  }

  get empty(): boolean {
    return this.#wills.size === 0;
  }

  /** The wills that are kept, each with its connection. */
  get all(): Iterable<Will> {
    return this.#wills.values();
  }

  get(epoch: number): Will | undefined {
    return this.#wills.get(epoch);
  }

  /** When something has to be done about one of them. */
  get alarmAt(): number | undefined {
    let at: number | undefined;
    for (const { epoch, due } of this.#wills.values()) {
      if (due !== undefined) at = Math.min(at ?? Infinity, this.#attempts.at(epoch, due));
    }
    return at;
  }

  put(will: Will): void {
    this.#store.putWill(will);
    this.#wills.set(will.epoch, will);
  }

  /** Sets when a will is to be published, unless it is on its way already. */
  setDue(epoch: number, due: number | undefined, now: number): void {
    const will = this.#wills.get(epoch);
    if (!will || will.due === due || isDue(will, now)) return;
    this.#store.setDue(epoch, due);
    this.#wills.set(epoch, { ...will, due });
  }

  /** Forgets a will that is not to be published, unless it is on its way already. */
  drop(epoch: number, now: number): void {
    const will = this.#wills.get(epoch);
    if (will && !isDue(will, now)) this.#forget(epoch);
  }

  /** The client of a connection is expected back, and if it comes its will is not published. */
  hold(epoch: number): void {
    const will = this.#wills.get(epoch);
    if (!will) return;
    this.#store.holdWill(epoch);
    this.#wills.set(epoch, { ...will, held: true });
  }

  /** A later connection goes on with the session: a will with a delay is not published [MQTT-3.1.3-9]. */
  resumed(now: number): void {
    for (const { epoch, delaySeconds, held } of this.#wills.values()) {
      if (delaySeconds > 0 || held) this.drop(epoch, now);
      else this.setDue(epoch, now, now);
    }
  }

  /** The session has ended, and no delay outlasts it [MQTT §3.1.3.2.2]. */
  ended(now: number): void {
    for (const { epoch, held } of this.#wills.values()) {
      if (held) this.drop(epoch, now);
      else this.setDue(epoch, now, now);
    }
  }

  /** Calls `publish` for the wills whose time has come. */
  publish(now: number, publish: (of: Departed, message: Message) => void): void {
    for (const will of this.#wills.values()) {
      const { generation, epoch, connection, message } = will;
      if (isDue(will, now) && this.#attempts.begin(epoch, now)) publish({ generation, epoch, connection }, message);
    }
  }

  /** The shard has the will, or had it already. */
  published(epoch: number): void {
    this.#attempts.done(epoch);
    this.#forget(epoch);
  }

  failed(epoch: number, now: number): void {
    this.#attempts.failed(epoch, now);
  }

  #forget(epoch: number): void {
    if (this.#wills.delete(epoch)) this.#store.deleteWill(epoch);
  }
}

function isDue({ due }: Will, now: number): boolean {
  return due !== undefined && due <= now;
}
