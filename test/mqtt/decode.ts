/** The decoder for a frame, as a connection would choose it. */
import { readAck } from "../../src/mqtt/ack.ts";
import {
  decodeAuth,
  decodeConnect,
  decodeDisconnect,
  decodeSubscribe,
  decodeUnsubscribe,
} from "../../src/mqtt/codec.ts";
import { checkFixedHeader, FrameReader, readPingreq } from "../../src/mqtt/frame.ts";
import { PacketType, type ConnectLimits, type Frame, type ProtocolVersion } from "../../src/mqtt/packet.ts";
import { readPublish } from "../../src/mqtt/publish.ts";
import { limits } from "./corpus-case.ts";

const packetBytesMax = 69_632;

export function decode(frame: Frame, version: ProtocolVersion, within: ConnectLimits = limits): unknown {
  checkFixedHeader(frame.type, frame.flags, frame.type === PacketType.CONNECT ? undefined : version);
  switch (frame.type) {
    case PacketType.CONNECT:
      return decodeConnect(frame, within);
    case PacketType.PUBLISH:
      return readPublish(frame, version, within);
    case PacketType.PUBACK:
    case PacketType.PUBREC:
    case PacketType.PUBREL:
    case PacketType.PUBCOMP:
      return readAck(frame, version);
    case PacketType.SUBSCRIBE:
      return decodeSubscribe(frame, version);
    case PacketType.UNSUBSCRIBE:
      return decodeUnsubscribe(frame, version);
    case PacketType.PINGREQ:
      readPingreq(frame);
      return {};
    case PacketType.DISCONNECT:
      return decodeDisconnect(frame, version);
    case PacketType.AUTH:
      return decodeAuth(frame);
    default:
      throw new Error(`a client does not send packet type ${frame.type}`);
  }
}

/** Decodes everything in the chunks; the frames' memory is read at once, as a connection does. */
export function decodeAll(chunks: Uint8Array[], version: (index: number) => ProtocolVersion): unknown[] {
  const reader = new FrameReader(packetBytesMax);
  const decoded: unknown[] = [];
  for (const chunk of chunks) {
    reader.push(chunk);
    while (reader.next()) decoded.push(decode(reader, version(decoded.length)));
  }
  if (reader.bufferedBytes > 0) throw new Error(`${reader.bufferedBytes} bytes are left over`);
  return decoded;
}
