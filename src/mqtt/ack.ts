/**
 * What do PUBACK, PUBREC, PUBREL and PUBCOMP say? All four say the same: an identifier, and from 5.0 on a reason.
 */
import { PacketType, type ProtocolVersion } from "./packet.ts";
import { walkProperties } from "./properties.ts";
import { isLegalReason, MqttError, Reason } from "./reason.ts";

export type AckType =
  | typeof PacketType.PUBACK
  | typeof PacketType.PUBREC
  | typeof PacketType.PUBREL
  | typeof PacketType.PUBCOMP;

export interface Ack {
  packetId: number;
  /** Success below v5. */
  reason: Reason;
}

const tables = {
  [PacketType.PUBACK]: "puback",
  [PacketType.PUBREC]: "pubrec",
  [PacketType.PUBREL]: "pubrel",
  [PacketType.PUBCOMP]: "pubcomp",
} as const;

/**
 * `frame.type` must be one of the four.
 *
 * @throws MqttError
 */
export function readAck(
  frame: { readonly bytes: Uint8Array; readonly type: number; readonly body: number; readonly end: number },
  version: ProtocolVersion,
): Ack {
  const { bytes, body, end } = frame;
  const length = end - body;
  if (length < 2 || (version < 5 && length > 2)) {
    throw new MqttError(Reason.MalformedPacket, `an acknowledgement of ${length} bytes`);
  }
  const packetId = bytes[body]! * 256 + bytes[body + 1]!;
  if (packetId === 0) throw new MqttError(Reason.ProtocolError, "packet identifier 0");
  // Without more bytes the reason is success, and without a fourth the property length is 0 (§3.4.2.1, §3.4.2.2.1).
  if (length === 2) return { packetId, reason: Reason.Success };
  const type = frame.type as AckType;
  const reason = bytes[body + 2]!;
  if (!isLegalReason(tables[type], reason)) {
    throw new MqttError(Reason.ProtocolError, `reason 0x${reason.toString(16)} in a ${tables[type]}`);
  }
  if (length > 3 && walkProperties(bytes, body + 3, end, type) !== end) {
    throw new MqttError(Reason.MalformedPacket, "bytes behind an acknowledgement");
  }
  return { packetId, reason };
}

/** Without properties, so it always fits [MQTT-3.4.2-2]. The reason is left out where it is success or cannot be said. */
export function encodeAck(type: AckType, packetId: number, version: ProtocolVersion, reason: Reason): Uint8Array {
  const first = (type << 4) | (type === PacketType.PUBREL ? 2 : 0); // [MQTT-3.6.1-1]
  if (version < 5 || reason === Reason.Success) return Uint8Array.of(first, 2, packetId >> 8, packetId);
  return Uint8Array.of(first, 3, packetId >> 8, packetId, reason);
}
