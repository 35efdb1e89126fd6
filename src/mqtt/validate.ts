/**
 * Is this control packet, byte for byte, one that the specification allows?
 *
 * The decoder behind `codec.ts` is lenient: it replaces bad UTF-8, merges repeated properties, ignores trailing bytes
 * and reads past a property section. So every packet that reaches it has been walked here first, field by field, and
 * what the walk learns that the decoder would lose (the order of will properties) is returned.
 */
import type { ConnectLimits, Frame, ProtocolVersion } from "./packet.ts";
import { PacketType } from "./packet.ts";
import { PropertyCursor, PropertyId, WILL, walkProperties } from "./properties.ts";
import { readForwarded, type MessageProperties } from "./publish.ts";
import { isLegalReason, MqttError, Reason } from "./reason.ts";
import { validateTopicName } from "./topic.ts";
import { decodeUtf8, validateUtf8 } from "./utf8.ts";

const userNameFlag = 0x80;
const passwordFlag = 0x40;
const willRetainFlag = 0x20;
const willQosBits = 0x18;
const willFlag = 0x04;
const cleanFlag = 0x02;

export interface ConnectShape {
  version: ProtocolVersion;
  willProperties: MessageProperties | undefined;
}

/**
 * A protocol name or level that we do not speak is refused with UnsupportedProtocolVersion [MQTT-3.1.2-1],
 * [MQTT-3.1.2-2], and so is a name with the wrong level: `MQIsdp` goes with 3, `MQTT` with 4 and 5. Bridges of mosquitto
 * try level 128 + 3 or 128 + 4 first and fall back when they are told so.
 */
export function validateConnect(frame: Frame, limits: ConnectLimits): ConnectShape {
  const fields = new Fields(frame, "CONNECT");
  const name = fields.string();
  const level = fields.byte();
  if (!((name === "MQTT" && (level === 4 || level === 5)) || (name === "MQIsdp" && level === 3))) {
    throw new MqttError(Reason.UnsupportedProtocolVersion, `protocol level ${level}`);
  }
  const version = level as ProtocolVersion;

  const flags = fields.byte();
  const hasWill = (flags & willFlag) !== 0;
  if ((flags & 1) !== 0) throw fields.malformed("has its reserved flag set"); // [MQTT-3.1.2-3]
  if ((flags & willQosBits) === willQosBits) throw fields.malformed("has a will with QoS 3"); // [MQTT-3.1.2-12]
  if (!hasWill && (flags & (willQosBits | willRetainFlag)) !== 0) {
    throw fields.malformed("has will flags but no will"); // [MQTT-3.1.2-11], [MQTT-3.1.2-13]
  }
  if (version < 5 && (flags & passwordFlag) !== 0 && (flags & userNameFlag) === 0) {
    throw fields.malformed("has a password but no user name"); // [v3 MQTT-3.1.2-22]
  }
  fields.twoBytes(); // Keep Alive
  if (version === 5) connectProperties(fields);

  // [MQTT-3.1.3-1]: client identifier, will, user name, password.
  const clientIdBytes = fields.skipString();
  let willProperties: MessageProperties | undefined;
  if (hasWill) {
    if (version === 5) {
      willProperties = readForwarded(frame.bytes, fields.at, frame.end, WILL);
      fields.at = willProperties.end;
    }
    validateTopicName(fields.string(), limits);
    fields.skipBinary();
  }
  if ((flags & userNameFlag) !== 0) fields.skipString(); // [MQTT-3.1.2-17]
  if ((flags & passwordFlag) !== 0) fields.skipBinary(); // [MQTT-3.1.2-19]
  fields.finish();

  // Judged last: it is answered, and only a CONNECT that is well-formed deserves an answer [v3 MQTT-3.1.4-1].
  const mayBeEmpty = version === 5 || (version === 4 && (flags & cleanFlag) !== 0); // [MQTT-3.1.3-6], [v3 MQTT-3.1.3-8]
  if (clientIdBytes > limits.clientIdBytesMax || (clientIdBytes === 0 && !mayBeEmpty)) {
    throw new MqttError(Reason.ClientIdentifierNotValid, `a client identifier of ${clientIdBytes} bytes`);
  }
  return { version, willProperties };
}

function connectProperties(fields: Fields): void {
  const cursor = new PropertyCursor(fields.bytes, fields.at, fields.end, PacketType.CONNECT);
  let method = false;
  let data = false;
  while (cursor.next()) {
    if (cursor.id === PropertyId.AuthenticationMethod) method = true;
    else if (cursor.id === PropertyId.AuthenticationData) data = true;
  }
  // §3.1.2.11.10
  if (data && !method) throw new MqttError(Reason.ProtocolError, "authentication data without a method");
  fields.at = cursor.end;
}

/**
 * The version of a CONNECT that did not decode, as far as its first bytes tell, so that the refusal can be written in a
 * form that its sender parses: unknown levels below 5 (and bridges, 128 and more) read 3.1.1, later ones presumably 5.0.
 */
export function connectVersionHint(frame: Frame): ProtocolVersion | undefined {
  const { bytes, body, end } = frame;
  const nameEnd = body + 2 + (body + 2 <= end ? bytes[body]! * 256 + bytes[body + 1]! : 0);
  if (nameEnd >= end) return undefined;
  const name = String.fromCharCode(...bytes.subarray(body + 2, Math.min(nameEnd, body + 10)));
  const level = bytes[nameEnd]!;
  if (name === "MQIsdp") return 3;
  if (name !== "MQTT") return undefined;
  return level >= 5 && level < 0x80 ? 5 : 4;
}

export function validateSubscribe(frame: Frame, version: ProtocolVersion): void {
  const fields = new Fields(frame, "SUBSCRIBE");
  fields.packetId();
  if (version === 5) fields.properties(PacketType.SUBSCRIBE);
  if (fields.at === fields.end) throw protocolError("a SUBSCRIBE without filters"); // [MQTT-3.8.3-2]
  while (fields.at < fields.end) {
    const filter = fields.string(); // [MQTT-3.8.3-1]
    const options = fields.byte();
    if ((options & 3) === 3) throw fields.malformed("asks for QoS 3");
    // [MQTT-3.8.3-5], [v3 MQTT-3.8.3-4]
    if ((options & (version === 5 ? 0xc0 : 0xfc)) !== 0) throw fields.malformed("has reserved options set");
    if ((options & 0x30) === 0x30) throw protocolError("retain handling 3"); // §3.8.3.1
    // [MQTT-3.8.3-4]
    if ((options & 4) !== 0 && filter.startsWith("$share/")) throw protocolError("No Local on a shared subscription");
  }
}

export function validateUnsubscribe(frame: Frame, version: ProtocolVersion): void {
  const fields = new Fields(frame, "UNSUBSCRIBE");
  fields.packetId();
  if (version === 5) fields.properties(PacketType.UNSUBSCRIBE);
  if (fields.at === fields.end) throw protocolError("an UNSUBSCRIBE without filters"); // [MQTT-3.10.3-2]
  while (fields.at < fields.end) fields.skipString(); // [MQTT-3.10.3-1]
}

export function validateDisconnect(frame: Frame, version: ProtocolVersion): void {
  const fields = new Fields(frame, "DISCONNECT");
  // A reason that is left out is 0x00, a property length that is left out is 0 (§3.14.2.1, §3.14.2.2.1).
  if (version === 5 && fields.at < fields.end) {
    const reason = fields.byte();
    if (!isLegalReason("clientDisconnect", reason)) {
      throw protocolError(`reason 0x${reason.toString(16)} in a DISCONNECT from a client`); // [MQTT-3.14.2-1]
    }
    if (fields.at < fields.end) fields.properties(PacketType.DISCONNECT);
  }
  fields.finish();
}

export function validateAuth(frame: Frame): void {
  const fields = new Fields(frame, "AUTH");
  // An empty AUTH means success (§3.15.2.1), which only a server may say [MQTT-3.15.2-1].
  const reason = fields.at === fields.end ? Reason.Success : fields.byte();
  if (!isLegalReason("clientAuth", reason)) {
    throw protocolError(`reason 0x${reason.toString(16)} in an AUTH from a client`);
  }
  const cursor = new PropertyCursor(frame.bytes, fields.at, frame.end, PacketType.AUTH);
  let method = false;
  while (cursor.next()) if (cursor.id === PropertyId.AuthenticationMethod) method = true;
  if (!method) throw protocolError("an AUTH without a method"); // §3.15.2.2.2
  fields.at = cursor.end;
  fields.finish();
}

/** Steps through the fields of one packet; a field that overruns it is malformed. */
class Fields {
  readonly bytes: Uint8Array;
  readonly end: number;
  at: number;
  readonly #packet: string;

  constructor(frame: Frame, packet: string) {
    this.bytes = frame.bytes;
    this.at = frame.body;
    this.end = frame.end;
    this.#packet = packet;
  }

  byte(): number {
    return this.bytes[this.#advance(1)]!;
  }

  twoBytes(): number {
    const at = this.#advance(2);
    return this.bytes[at]! * 256 + this.bytes[at + 1]!;
  }

  packetId(): number {
    const id = this.twoBytes();
    if (id === 0) throw protocolError("packet identifier 0"); // [MQTT-2.2.1-3]
    return id;
  }

  string(): string {
    const length = this.twoBytes();
    const at = this.#advance(length);
    return decodeUtf8(this.bytes, at, at + length);
  }

  /** Answers the string's length in bytes. */
  skipString(): number {
    const length = this.twoBytes();
    const at = this.#advance(length);
    validateUtf8(this.bytes, at, at + length);
    return length;
  }

  skipBinary(): void {
    this.#advance(this.twoBytes());
  }

  properties(context: PacketType): void {
    this.at = walkProperties(this.bytes, this.at, this.end, context);
  }

  finish(): void {
    if (this.at !== this.end) throw this.malformed("goes on behind its last field");
  }

  malformed(what: string): MqttError {
    return new MqttError(Reason.MalformedPacket, `a ${this.#packet} ${what}`);
  }

  #advance(count: number): number {
    const at = this.at;
    if (at + count > this.end) throw this.malformed("ends inside a field");
    this.at = at + count;
    return at;
  }
}

function protocolError(what: string): MqttError {
  return new MqttError(Reason.ProtocolError, what);
}
