/**
 * The bytes of MQTT as a load generator needs them: packets encoded once and copied many times, and a reader that finds
 * packets in a byte stream without building objects.
 *
 * Not a client library: it knows CONNECT, SUBSCRIBE, PUBLISH, their acknowledgements and DISCONNECT. The only property
 * it writes is the session expiry that MQTT 5.0 needs to keep a session.
 */

import { generate } from "mqtt-packet";

/** Protocol level in CONNECT: 4 is MQTT 3.1.1, 5 is MQTT 5.0. */
export type ProtocolLevel = 4 | 5;

export type Qos = 0 | 1 | 2;

/** The upper four bits of a packet's first byte. */
export const PacketType = {
  connack: 0x20,
  publish: 0x30,
  puback: 0x40,
  pubrec: 0x50,
  pubrel: 0x60,
  pubcomp: 0x70,
  suback: 0x90,
} as const;

/** Acknowledgements of QoS 1 and 2, in either direction. */
export type AckType =
  | typeof PacketType.puback
  | typeof PacketType.pubrec
  | typeof PacketType.pubrel
  | typeof PacketType.pubcomp;

// Longer than a session of the bench lasts, in case the run dies and leaves one behind.
const SESSION_EXPIRY_SECONDS = 900;

/** @param clean without it the session outlives the connection */
export function connectPacket(protocol: ProtocolLevel, clientId: string, clean: boolean): Buffer {
  return generate(
    {
      cmd: "connect",
      protocolId: "MQTT",
      protocolVersion: protocol,
      clean,
      clientId,
      keepalive: 900, // Longer than any run, so that no PINGREQ mixes with what is measured.
      ...(protocol === 5 && !clean && { properties: { sessionExpiryInterval: SESSION_EXPIRY_SECONDS } }),
    },
    { protocolVersion: protocol },
  );
}

/** Of both versions: without reason code it means a normal end. */
export const DISCONNECT_PACKET = Buffer.from([0xe0, 0]);

export function subscribePacket(protocol: ProtocolLevel, topic: string, qos: Qos): Buffer {
  return generate(
    { cmd: "subscribe", messageId: 1, subscriptions: [{ topic, qos, nl: false, rap: false, rh: 0 }] },
    { protocolVersion: protocol },
  );
}

/** A packet that is sent again and again, and where its variable parts are, counted from its first byte. */
export interface PacketPattern {
  bytes: Buffer;
  /** Position of the packet id, 0 when it has none. */
  idAt: number;
  /** Position of the payload, 0 when it has none. */
  payloadAt: number;
}

export function publishPattern(protocol: ProtocolLevel, topic: string, qos: Qos, payloadBytes: number): PacketPattern {
  const packet = { cmd: "publish", topic, qos, messageId: 1, payload: Buffer.alloc(payloadBytes, "x"), dup: false };
  const bytes = generate({ ...packet, cmd: "publish", retain: false }, { protocolVersion: protocol });
  const payloadAt = bytes.length - payloadBytes;
  const propertiesLength = protocol === 5 ? 1 : 0;
  return { bytes, idAt: qos === 0 ? 0 : payloadAt - propertiesLength - 2, payloadAt };
}

/** The short form without reason code, which means success in both versions. */
export function ackPattern(type: AckType): PacketPattern {
  const flags = type === PacketType.pubrel ? 0b0010 : 0; // [MQTT-3.6.1-1]
  return { bytes: Buffer.from([type | flags, 2, 0, 1]), idAt: 2, payloadAt: 0 };
}

/**
 * Called for each complete packet. `buffer` belongs to the reader and is overwritten after the call.
 *
 * @param at position of the packet's first byte
 * @param bodyAt position behind the fixed header
 * @param end position behind the packet
 */
export type PacketSink = (buffer: Buffer, at: number, bodyAt: number, end: number) => void;

/**
 * Finds packets in a byte stream that is cut anywhere. WebSocket frames do not align with packets [MQTT-6.0.0-4], and
 * some brokers do write one packet as several frames.
 */
export class PacketReader {
  sink: PacketSink;
  // The beginning of a packet whose rest has not arrived. It grows to the largest packet seen.
  #partial = Buffer.allocUnsafe(256);
  #partialLength = 0;

  constructor(sink: PacketSink) {
    this.sink = sink;
  }

  push(buffer: Buffer, start: number, end: number): void {
    if (this.#partialLength === 0) {
      const readTo = this.#read(buffer, start, end);
      if (readTo < end) this.#keep(buffer, readTo, end);
      return;
    }
    this.#keep(buffer, start, end);
    const length = this.#partialLength;
    const readTo = this.#read(this.#partial, 0, length);
    this.#partial.copy(this.#partial, 0, readTo, length);
    this.#partialLength = length - readTo;
  }

  #keep(buffer: Buffer, start: number, end: number): void {
    const length = this.#partialLength + (end - start);
    if (length > this.#partial.length) {
      const larger = Buffer.allocUnsafe(length * 2);
      this.#partial.copy(larger, 0, 0, this.#partialLength);
      this.#partial = larger;
    }
    buffer.copy(this.#partial, this.#partialLength, start, end);
    this.#partialLength = length;
  }

  /** Hands every complete packet to the sink and returns where the first incomplete one begins. */
  #read(buffer: Buffer, start: number, end: number): number {
    let at = start;
    while (at + 2 <= end) {
      let bodyAt = at + 1;
      let remaining = 0;
      let shift = 0;
      let digit = 0x80;
      while (digit & 0x80) {
        if (bodyAt === end) return at;
        if (shift > 21) throw new Error("the broker sent a malformed remaining length");
        digit = buffer[bodyAt++]!;
        remaining |= (digit & 0x7f) << shift;
        shift += 7;
      }
      const packetEnd = bodyAt + remaining;
      if (packetEnd > end) return at;
      this.sink(buffer, at, bodyAt, packetEnd);
      at = packetEnd;
    }
    return at;
  }
}
