/**
 * The receiving side: counts deliveries and checks that each is the next of its sequence, in every scenario. Each
 * payload begins with a sequence number (4 bytes) and the time of its write (8 bytes, nanoseconds; zero when unused).
 */

import { BATCH_PACKETS_MAX, BatchTemplates } from "./batch.ts";
import type { Client } from "./client.ts";
import type { LoadOrder } from "./measurement.ts";
import { PacketType, pubackPattern } from "./mqtt-frames.ts";

export const SEQUENCE_AT = 0;
export const TIME_AT = 4;
export const PAYLOAD_BYTES_MIN = 12;

/** Counters that all subscribers of a run share. */
export class Tally {
  deliveries = 0;
  misordered = 0;
}

export interface SubscriberEvents {
  /** A delivery's payload begins at `payloadAt`. For paced runs; a flood only counts. */
  onDelivery?: (buffer: Buffer, payloadAt: number) => void;
  /** One read from the socket is done and counted. */
  onReadEnd?: () => void;
}

export function countDeliveries(
  client: Client,
  qos: 0 | 1,
  order: LoadOrder,
  tally: Tally,
  events: SubscriberEvents,
): void {
  const { onDelivery, onReadEnd } = events;
  const { payloadBytes } = order;
  const acks = new BatchTemplates(pubackPattern(), order.address.transport, order.packetsPerFrame);
  const unacknowledged: number[] = [];
  let sequence = 0;

  client.onPacket = (buffer, at, bodyAt, end) => {
    if ((buffer[at]! & 0xf0) !== PacketType.publish) return;
    const payloadAt = end - payloadBytes;
    const received = buffer.readUInt32BE(payloadAt + SEQUENCE_AT);
    if (received !== sequence) tally.misordered++;
    sequence = received + 1;
    tally.deliveries++;
    if (qos === 1) unacknowledged.push(buffer.readUInt16BE(bodyAt + 2 + buffer.readUInt16BE(bodyAt)));
    onDelivery?.(buffer, payloadAt);
  };

  client.onReadEnd = () => {
    for (let from = 0; from < unacknowledged.length; from += BATCH_PACKETS_MAX) {
      const count = Math.min(BATCH_PACKETS_MAX, unacknowledged.length - from);
      const { bytes, packetAt } = acks.copy(count);
      for (let index = 0; index < count; index++) {
        bytes.writeUInt16BE(unacknowledged[from + index]!, packetAt[index]! + acks.pattern.idAt);
      }
      client.write(bytes);
    }
    unacknowledged.length = 0;
    onReadEnd?.();
  };
}
