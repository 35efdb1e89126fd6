/** What a device has published above QoS 0 and must remember: it is sent again when the session is resumed [MQTT-4.4.0-1]. */

import type { Sent } from "./messages.ts";

export interface Outgoing {
  readonly packetId: number;
  readonly sent: Sent;
  /** PUBREC came. */
  released: boolean;
}

export class Outbox {
  #all: Outgoing[] = [];

  get all(): readonly Outgoing[] {
    return this.#all;
  }

  get size(): number {
    return this.#all.length;
  }

  get(packetId: number): Outgoing | undefined {
    return this.#all.find((one) => one.packetId === packetId);
  }

  add(packetId: number, sent: Sent): Outgoing {
    const outgoing = { packetId, sent, released: false };
    this.#all.push(outgoing);
    return outgoing;
  }

  remove(outgoing: Outgoing): void {
    this.#all = this.#all.filter((one) => one !== outgoing);
  }

  forget(): void {
    this.#all = [];
  }
}
