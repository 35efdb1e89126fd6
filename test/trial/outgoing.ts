/**
 * What a client's session has on its way to the broker: publishes until they are answered for good, in the order in
 * which they were sent, under packet ids that are taken again soon, so that a broker that remembers one too long is
 * found out.
 */
import type { Qos } from "./history.ts";

export interface Publish {
  readonly topic: string;
  readonly payload: string;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly expirySeconds?: number;
}

export interface Underway extends Publish {
  readonly packetId: number;
  /** PUBREC came: what remains to be sent is PUBREL. */
  received: boolean;
}

/** Few: an id comes round again within a second or so. */
const IDS = 64;

export class Outgoing {
  readonly #underway = new Map<number, Underway>();
  readonly #otherIds = new Set<number>();
  #lastId = 0;

  get size(): number {
    return this.#underway.size;
  }

  /** In the order of sending, which is that of sending again [MQTT-4.6.0-1]. */
  get all(): Iterable<Underway> {
    return this.#underway.values();
  }

  publish(publish: Publish): Underway {
    const underway = { ...publish, packetId: this.#freeId(), received: false };
    this.#underway.set(underway.packetId, underway);
    return underway;
  }

  get(packetId: number): Underway | undefined {
    return this.#underway.get(packetId);
  }

  done(packetId: number): void {
    this.#underway.delete(packetId);
  }

  /** PUBRELs go again in the order in which their PUBRECs came [MQTT-4.6.0-4]. */
  received(underway: Underway): void {
    underway.received = true;
    this.#underway.delete(underway.packetId);
    this.#underway.set(underway.packetId, underway);
  }

  /** For a SUBSCRIBE or an UNSUBSCRIBE. */
  takeId(): number {
    const id = this.#freeId();
    this.#otherIds.add(id);
    return id;
  }

  returnId(id: number): void {
    this.#otherIds.delete(id);
  }

  /** The connection is gone, and what was asked on it is not answered any more. */
  returnIds(): void {
    this.#otherIds.clear();
  }

  /** The broker has lost the session, or was told to. */
  clear(): void {
    this.#underway.clear();
    this.#otherIds.clear();
  }

  #freeId(): number {
    for (let tries = 0; tries < IDS; tries++) {
      this.#lastId = (this.#lastId % IDS) + 1;
      if (!this.#underway.has(this.#lastId) && !this.#otherIds.has(this.#lastId)) return this.#lastId;
    }
    throw new Error("every packet id is under way");
  }
}
