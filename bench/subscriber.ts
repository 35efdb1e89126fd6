/**
 * The receiving side: counts deliveries and checks that each is the next of its sequence, in every scenario. Each
 * payload begins with a sequence number (4 bytes) and the time of its write (8 bytes, nanoseconds; zero when unused).
 */

import { setTimeout as sleep } from "node:timers/promises";
import { Acknowledgements } from "./acknowledgements.ts";
import type { Client } from "./client.ts";
import type { LoadOrder } from "./measurement.ts";
import { PacketType, type Qos } from "./mqtt-frames.ts";

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
  qos: Qos,
  order: Pick<LoadOrder, "address" | "packetsPerFrame" | "payloadBytes">,
  tally: Tally,
  events: SubscriberEvents,
): void {
  const { onDelivery, onReadEnd } = events;
  const { payloadBytes } = order;
  // What answers PUBLISH, and at QoS 2 also what answers PUBREL.
  const receipts = new Acknowledgements(client, qos === 2 ? PacketType.pubrec : PacketType.puback, order);
  const completions = new Acknowledgements(client, PacketType.pubcomp, order);
  let sequence = 0;

  client.onPacket = (buffer, at, bodyAt, end) => {
    const type = buffer[at]! & 0xf0;
    if (type === PacketType.pubrel) completions.add(buffer.readUInt16BE(bodyAt));
    if (type !== PacketType.publish) return;
    const payloadAt = end - payloadBytes;
    const received = buffer.readUInt32BE(payloadAt + SEQUENCE_AT);
    if (received !== sequence) tally.misordered++;
    sequence = received + 1;
    tally.deliveries++;
    if (qos > 0) receipts.add(buffer.readUInt16BE(bodyAt + 2 + buffer.readUInt16BE(bodyAt)));
    onDelivery?.(buffer, payloadAt);
  };

  client.onReadEnd = () => {
    receipts.send();
    completions.send();
    onReadEnd?.();
  };
}

/** How long after the last delivery those still owed are waited for. */
const QUIET_MS = 1_500;
const WAIT_MS_MAX = 10_000;

/** Waits until all that is owed has arrived, or nothing more does. */
export async function allDelivered(tally: Tally, due: number): Promise<void> {
  const deadline = performance.now() + WAIT_MS_MAX;
  let quietSince = performance.now();
  while (tally.deliveries < due && performance.now() < deadline && performance.now() - quietSince < QUIET_MS) {
    const before = tally.deliveries;
    await sleep(20);
    if (tally.deliveries !== before) quietSince = performance.now();
  }
}
