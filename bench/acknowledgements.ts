/** Acknowledgements of one kind: collected while a read is worked off, then written with as few writes as possible. */

import { BATCH_PACKETS_MAX, BatchTemplates } from "./batch.ts";
import type { Client } from "./client.ts";
import type { LoadOrder } from "./measurement.ts";
import { type AckType, ackPattern } from "./mqtt-frames.ts";

export class Acknowledgements {
  readonly #client: Client;
  readonly #templates: BatchTemplates;
  readonly #packetIds: number[] = [];

  constructor(client: Client, type: AckType, order: Pick<LoadOrder, "address" | "packetsPerFrame">) {
    this.#client = client;
    this.#templates = new BatchTemplates(ackPattern(type), order.address.transport, order.packetsPerFrame);
  }

  add(packetId: number): void {
    this.#packetIds.push(packetId);
  }

  /** Writes what was added since the last call. */
  send(): void {
    const packetIds = this.#packetIds;
    const { idAt } = this.#templates.pattern;
    for (let from = 0; from < packetIds.length; from += BATCH_PACKETS_MAX) {
      const count = Math.min(BATCH_PACKETS_MAX, packetIds.length - from);
      const { bytes, packetAt } = this.#templates.copy(count);
      for (let index = 0; index < count; index++) {
        bytes.writeUInt16BE(packetIds[from + index]!, packetAt[index]! + idAt);
      }
      this.#client.write(bytes);
    }
    packetIds.length = 0;
  }
}
