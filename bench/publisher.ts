/**
 * The sending side. It is driven by deliveries and acknowledgements, not by time: whenever the bound on what is owed
 * leaves room, the next messages go out in one write.
 */

import { Acknowledgements } from "./acknowledgements.ts";
import { BATCH_PACKETS_MAX, BatchTemplates } from "./batch.ts";
import type { Client } from "./client.ts";
import type { LoadOrder } from "./measurement.ts";
import { PacketType, type Qos, publishPattern } from "./mqtt-frames.ts";
import { SEQUENCE_AT, TIME_AT, type Tally } from "./subscriber.ts";

export class Publisher {
  /** Messages written so far, which is also the next sequence number. */
  published = 0;
  /** Messages whose exchange is not over: at QoS 1 it ends with PUBACK, at QoS 2 with PUBCOMP. */
  unacknowledged = 0;
  /** What one read from the socket brought is counted and answered. */
  onReadEnd: () => void = () => {};

  readonly #client: Client;
  readonly #qos: Qos;
  readonly #templates: BatchTemplates;

  constructor(client: Client, qos: Qos, topic: string, order: Omit<LoadOrder, "scenario">) {
    this.#client = client;
    this.#qos = qos;
    const pattern = publishPattern(order.protocol, topic, qos, order.payloadBytes);
    this.#templates = new BatchTemplates(pattern, order.address.transport, order.packetsPerFrame);
    const releases = new Acknowledgements(client, PacketType.pubrel, order);
    client.onPacket = (buffer, at, bodyAt, end) => {
      const type = buffer[at]! & 0xf0;
      if (type !== PacketType.puback && type !== PacketType.pubrec && type !== PacketType.pubcomp) return;
      if (end - bodyAt > 2 && buffer[bodyAt + 2]! >= 0x80) {
        throw new Error(`a message was answered with ${buffer[bodyAt + 2]}`);
      }
      if (type === PacketType.pubrec) releases.add(buffer.readUInt16BE(bodyAt));
      else this.unacknowledged--;
    };
    client.onReadEnd = () => {
      releases.send();
      this.onReadEnd();
    };
  }

  /** Writes `count` messages, at most {@link BATCH_PACKETS_MAX}, at once. */
  publish(count: number, time = 0n): void {
    const { idAt, payloadAt } = this.#templates.pattern;
    const { bytes, packetAt } = this.#templates.copy(count);
    for (let index = 0; index < count; index++) {
      const at = packetAt[index]!;
      // Ids go round 1 to 65,535; the window is far smaller than that.
      if (this.#qos > 0) bytes.writeUInt16BE((this.published % 65_535) + 1, at + idAt);
      bytes.writeUInt32BE(this.published, at + payloadAt + SEQUENCE_AT);
      if (time !== 0n) bytes.writeBigInt64BE(time, at + payloadAt + TIME_AT);
      this.published++;
    }
    if (this.#qos > 0) this.unacknowledged += count;
    this.#client.write(bytes);
  }
}

/**
 * Publishes `count` messages above QoS 0 with at most `window` of them unacknowledged, and resolves with the last
 * acknowledgement.
 *
 * @param roomMin the next messages wait until so many of them may leave
 */
export function publishAll(publisher: Publisher, count: number, window: number, roomMin = 1): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const last = publisher.published + count;
  publisher.onReadEnd = () => {
    const left = last - publisher.published;
    const room = Math.min(window - publisher.unacknowledged, left, BATCH_PACKETS_MAX);
    if (room >= Math.min(roomMin, left)) publisher.publish(room);
    if (left === 0 && publisher.unacknowledged === 0) resolve();
  };
  publisher.onReadEnd();
  return promise;
}

export interface FloodBounds {
  subscribers: number;
  leadDeliveriesMax: number;
  leadBytesMax: number;
  window: number;
}

/** Keeps a publisher as busy as its bounds allow. */
export class Flood {
  readonly #publisher: Publisher;
  readonly #tally: Tally;
  readonly #bounds: FloodBounds;
  readonly #leadDeliveries: number;
  readonly #batchMin: number;
  readonly #watch: NodeJS.Timeout;
  // Deliveries given up, so that a broker that loses some does not end the run. They stay counted as lost.
  #writtenOff = 0;
  #deliveriesAtLastWatch = -1;
  #stopped = false;

  constructor(publisher: Publisher, tally: Tally, bounds: FloodBounds, payloadBytes: number) {
    this.#publisher = publisher;
    this.#tally = tally;
    this.#bounds = bounds;
    this.#leadDeliveries = Math.max(
      bounds.subscribers,
      Math.min(bounds.leadDeliveriesMax, bounds.leadBytesMax / payloadBytes),
    );
    // Messages go out some at a time, an eighth of the bound (not above QoS 0, where the window opens one by one).
    const lead = Math.floor(this.#leadDeliveries / bounds.subscribers);
    this.#batchMin = bounds.window === Infinity ? Math.max(1, Math.min(BATCH_PACKETS_MAX, Math.floor(lead / 8))) : 1;
    this.#watch = setInterval(() => this.#writeOff(), 1_000);
  }

  /** To be called whenever deliveries or acknowledgements have arrived, and once to begin. */
  pump(): void {
    if (this.#stopped) return;
    const { subscribers, window } = this.#bounds;
    for (;;) {
      const owed = this.#publisher.published * subscribers - this.#tally.deliveries - this.#writtenOff;
      const roomInLead = Math.floor((this.#leadDeliveries - Math.max(0, owed)) / subscribers);
      const room = Math.min(roomInLead, window - this.#publisher.unacknowledged, BATCH_PACKETS_MAX);
      if (room < this.#batchMin) return;
      this.#publisher.publish(room);
    }
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#watch);
  }

  /** Nothing arrived for a second: what is owed will not come. */
  #writeOff(): void {
    const { deliveries } = this.#tally;
    if (deliveries === this.#deliveriesAtLastWatch) {
      this.#writtenOff = this.#publisher.published * this.#bounds.subscribers - deliveries;
      this.#publisher.unacknowledged = 0;
      this.pump();
    }
    this.#deliveriesAtLastWatch = deliveries;
  }
}
