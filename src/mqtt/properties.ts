/**
 * Which properties exist in MQTT 5.0, where may each stand, and are these bytes a legal set of them?
 *
 * One table (§2.2.2.2) is the whole answer; the walk over it reads no value that the table can judge by itself. An
 * identifier that is unknown, or not legal in its packet, is malformed; a second occurrence or a value out of its range
 * is a protocol error.
 */
import { PacketType } from "./packet.ts";
import { MqttError, Reason } from "./reason.ts";
import { validateUtf8 } from "./utf8.ts";

/** Where properties stand: a packet type, or the will inside a CONNECT. */
export const WILL = 0;
export type PropertyContext = PacketType | typeof WILL;

export const PropertyId = {
  PayloadFormatIndicator: 0x01,
  MessageExpiryInterval: 0x02,
  ContentType: 0x03,
  ResponseTopic: 0x08,
  CorrelationData: 0x09,
  SubscriptionIdentifier: 0x0b,
  SessionExpiryInterval: 0x11,
  AssignedClientIdentifier: 0x12,
  ServerKeepAlive: 0x13,
  AuthenticationMethod: 0x15,
  AuthenticationData: 0x16,
  RequestProblemInformation: 0x17,
  WillDelayInterval: 0x18,
  RequestResponseInformation: 0x19,
  ResponseInformation: 0x1a,
  ServerReference: 0x1c,
  ReasonString: 0x1f,
  ReceiveMaximum: 0x21,
  TopicAliasMaximum: 0x22,
  TopicAlias: 0x23,
  MaximumQos: 0x24,
  RetainAvailable: 0x25,
  UserProperty: 0x26,
  MaximumPacketSize: 0x27,
  WildcardSubscriptionAvailable: 0x28,
  SubscriptionIdentifierAvailable: 0x29,
  SharedSubscriptionAvailable: 0x2a,
} as const;

type WireType = "byte" | "two bytes" | "four bytes" | "varint" | "string" | "pair" | "binary";

interface Property {
  readonly id: number;
  readonly name: string;
  readonly wire: WireType;
  readonly contexts: readonly PropertyContext[];
  readonly repeatable?: boolean;
  /** Numbers only: the least and greatest legal value, where the wire type would allow more. */
  readonly least?: number;
  readonly most?: number;
  /** What a value out of range is answered with, where it is not ProtocolError. */
  readonly reason?: Reason;
  /** A string that is used as a topic name. */
  readonly topic?: boolean;
}

const { CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP } = PacketType;
const { SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, DISCONNECT, AUTH } = PacketType;
const message: readonly PropertyContext[] = [PUBLISH, WILL];
const answers: readonly PropertyContext[] = [
  CONNACK,
  PUBACK,
  PUBREC,
  PUBREL,
  PUBCOMP,
  SUBACK,
  UNSUBACK,
  DISCONNECT,
  AUTH,
];
const everywhere: readonly PropertyContext[] = [...answers, ...message, CONNECT, SUBSCRIBE, UNSUBSCRIBE];
const P = PropertyId;

// Table 2-4.
export const properties: readonly Property[] = [
  { id: P.PayloadFormatIndicator, name: "Payload Format Indicator", wire: "byte", contexts: message, most: 1 },
  { id: P.MessageExpiryInterval, name: "Message Expiry Interval", wire: "four bytes", contexts: message },
  { id: P.ContentType, name: "Content Type", wire: "string", contexts: message }, // [MQTT-3.3.2-19]
  { id: P.ResponseTopic, name: "Response Topic", wire: "string", contexts: message, topic: true }, // [MQTT-3.3.2-13]
  { id: P.CorrelationData, name: "Correlation Data", wire: "binary", contexts: message },
  {
    id: P.SubscriptionIdentifier,
    name: "Subscription Identifier",
    wire: "varint",
    contexts: [PUBLISH, SUBSCRIBE],
    least: 1,
  },
  {
    id: P.SessionExpiryInterval,
    name: "Session Expiry Interval",
    wire: "four bytes",
    contexts: [CONNECT, CONNACK, DISCONNECT],
  },
  { id: P.AssignedClientIdentifier, name: "Assigned Client Identifier", wire: "string", contexts: [CONNACK] },
  { id: P.ServerKeepAlive, name: "Server Keep Alive", wire: "two bytes", contexts: [CONNACK] },
  { id: P.AuthenticationMethod, name: "Authentication Method", wire: "string", contexts: [CONNECT, CONNACK, AUTH] },
  { id: P.AuthenticationData, name: "Authentication Data", wire: "binary", contexts: [CONNECT, CONNACK, AUTH] },
  { id: P.RequestProblemInformation, name: "Request Problem Information", wire: "byte", contexts: [CONNECT], most: 1 },
  { id: P.WillDelayInterval, name: "Will Delay Interval", wire: "four bytes", contexts: [WILL] },
  {
    id: P.RequestResponseInformation,
    name: "Request Response Information",
    wire: "byte",
    contexts: [CONNECT],
    most: 1,
  },
  { id: P.ResponseInformation, name: "Response Information", wire: "string", contexts: [CONNACK] },
  { id: P.ServerReference, name: "Server Reference", wire: "string", contexts: [CONNACK, DISCONNECT] },
  { id: P.ReasonString, name: "Reason String", wire: "string", contexts: answers },
  { id: P.ReceiveMaximum, name: "Receive Maximum", wire: "two bytes", contexts: [CONNECT, CONNACK], least: 1 },
  { id: P.TopicAliasMaximum, name: "Topic Alias Maximum", wire: "two bytes", contexts: [CONNECT, CONNACK] },
  {
    id: P.TopicAlias,
    name: "Topic Alias",
    wire: "two bytes",
    contexts: [PUBLISH],
    least: 1,
    reason: Reason.TopicAliasInvalid, // [MQTT-3.3.2-8]
  },
  { id: P.MaximumQos, name: "Maximum QoS", wire: "byte", contexts: [CONNACK], most: 1 },
  { id: P.RetainAvailable, name: "Retain Available", wire: "byte", contexts: [CONNACK], most: 1 },
  { id: P.UserProperty, name: "User Property", wire: "pair", contexts: everywhere, repeatable: true },
  { id: P.MaximumPacketSize, name: "Maximum Packet Size", wire: "four bytes", contexts: [CONNECT, CONNACK], least: 1 },
  {
    id: P.WildcardSubscriptionAvailable,
    name: "Wildcard Subscription Available",
    wire: "byte",
    contexts: [CONNACK],
    most: 1,
  },
  {
    id: P.SubscriptionIdentifierAvailable,
    name: "Subscription Identifier Available",
    wire: "byte",
    contexts: [CONNACK],
    most: 1,
  },
  {
    id: P.SharedSubscriptionAvailable,
    name: "Shared Subscription Available",
    wire: "byte",
    contexts: [CONNACK],
    most: 1,
  },
];

interface Row {
  readonly property: Property;
  /** A bit per context. */
  readonly contexts: number;
  /** A bit of its own, to notice a second occurrence; 0 when that is legal. */
  readonly once: number;
}

const rows: (Row | undefined)[] = [];
for (const [index, property] of properties.entries()) {
  rows[property.id] = {
    property,
    contexts: property.contexts.reduce((bits: number, context) => bits | (1 << context), 0),
    once: property.repeatable === true ? 0 : 1 << index,
  };
}

/** Steps through the properties of one packet, checking each before it shows it. */
export class PropertyCursor {
  readonly #bytes: Uint8Array;
  readonly #context: PropertyContext;
  #seen = 0;
  #at: number;
  /** Of the property section: the first byte after its length, and the first byte behind it. */
  readonly start: number;
  readonly end: number;
  // The current property, valid after next() returned true.
  id = 0;
  /** Of the identifier. */
  at = 0;
  /** Of the value; for strings and binary data without their length. A pair is not taken apart. */
  valueStart = 0;
  valueEnd = 0;
  /** Numbers only. */
  value = 0;

  /**
   * @param start of the Property Length, which must be there [MQTT-2.2.2-1]
   * @param end of the packet: what the properties may fill at most
   */
  constructor(bytes: Uint8Array, start: number, end: number, context: PropertyContext) {
    this.#bytes = bytes;
    this.#context = context;
    const length = readVarint(bytes, start, end);
    this.start = this.#at = start + varintLength(length);
    this.end = this.start + length;
    if (this.end > end) throw malformed("the properties overrun their packet");
  }

  /** @throws MqttError */
  next(): boolean {
    if (this.#at === this.end) return false;
    this.at = this.#at;
    // Identifiers are varints on paper, and all of them fit one byte (§2.2.2.2).
    this.id = this.#bytes[this.#at]!;
    const row = rows[this.id];
    if (row === undefined) throw malformed(`property 0x${this.id.toString(16)} does not exist`);
    const { property } = row;
    if ((row.contexts & (1 << this.#context)) === 0) throw malformed(`${property.name} is not legal here`);
    if ((this.#seen & row.once) !== 0) throw new MqttError(Reason.ProtocolError, `${property.name} occurs twice`);
    this.#seen |= row.once;
    this.#read(property, this.#at + 1);
    return true;
  }

  #read(property: Property, start: number): void {
    switch (property.wire) {
      case "byte":
        return this.#number(property, start, 1);
      case "two bytes":
        return this.#number(property, start, 2);
      case "four bytes":
        return this.#number(property, start, 4);
      case "varint": {
        this.value = readVarint(this.#bytes, start, this.end);
        this.valueStart = start;
        this.valueEnd = this.#at = start + varintLength(this.value);
        return this.#bounds(property);
      }
      case "string":
        this.#counted(property, start);
        validateUtf8(this.#bytes, this.valueStart, this.valueEnd); // [MQTT-1.5.4-1], [MQTT-1.5.4-2]
        if (property.topic === true) this.#topic(property);
        return;
      case "binary":
        return this.#counted(property, start);
      case "pair":
        // [MQTT-1.5.7-1]
        this.#counted(property, start);
        validateUtf8(this.#bytes, this.valueStart, this.valueEnd);
        this.#counted(property, this.valueEnd);
        validateUtf8(this.#bytes, this.valueStart, this.valueEnd);
        this.valueStart = start;
    }
  }

  #number(property: Property, start: number, size: number): void {
    if (start + size > this.end) throw overrun(property);
    this.value = 0;
    for (let at = start; at < start + size; at++) this.value = this.value * 256 + this.#bytes[at]!;
    this.valueStart = start;
    this.valueEnd = this.#at = start + size;
    this.#bounds(property);
  }

  #bounds(property: Property): void {
    if (this.value < (property.least ?? 0) || this.value > (property.most ?? Infinity)) {
      throw new MqttError(property.reason ?? Reason.ProtocolError, `${property.name} is ${this.value}`);
    }
  }

  #counted(property: Property, start: number): void {
    if (start + 2 > this.end) throw overrun(property);
    this.valueStart = start + 2;
    this.valueEnd = this.#at = this.valueStart + this.#bytes[start]! * 256 + this.#bytes[start + 1]!;
    if (this.valueEnd > this.end) throw overrun(property);
  }

  #topic(property: Property): void {
    // [MQTT-3.3.2-14], [MQTT-4.7.3-1]. No byte of a longer UTF-8 sequence looks like a wildcard.
    let legal = this.valueEnd > this.valueStart;
    for (let at = this.valueStart; at < this.valueEnd; at++) {
      const byte = this.#bytes[at]!;
      if (byte === 0x2b || byte === 0x23) legal = false;
    }
    if (!legal) throw new MqttError(Reason.ProtocolError, `${property.name} is not a topic name`);
  }
}

/**
 * Checks all properties of a packet and says where they end.
 *
 * @param start of the Property Length
 * @param end of the packet
 * @throws MqttError
 */
export function walkProperties(bytes: Uint8Array, start: number, end: number, context: PropertyContext): number {
  if (start < end && bytes[start] === 0) return start + 1;
  const cursor = new PropertyCursor(bytes, start, end, context);
  while (cursor.next());
  return cursor.end;
}

/**
 * A variable byte integer (§1.5.5) at `start`. Needless bytes, which [MQTT-1.5.5-1] forbids to send, are malformed; so
 * the value tells the length that was read: {@link varintLength}.
 *
 * @throws MqttError MalformedPacket
 */
export function readVarint(bytes: Uint8Array, start: number, end: number): number {
  let value = 0;
  for (let shift = 0; shift < 28; shift += 7) {
    const at = start + shift / 7;
    if (at >= end) throw malformed("a variable byte integer is cut off");
    const byte = bytes[at]!;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      if (byte === 0 && shift > 0) throw malformed("a variable byte integer is not minimal");
      return value;
    }
  }
  throw malformed("a variable byte integer has more than four bytes");
}

/** Writes `value`, at most 268,435,455, and returns the position behind it. */
export function writeVarint(bytes: Uint8Array, at: number, value: number): number {
  while (value >= 0x80) {
    bytes[at++] = (value & 0x7f) | 0x80;
    value >>>= 7;
  }
  bytes[at++] = value;
  return at;
}

export function varintLength(value: number): 1 | 2 | 3 | 4 {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x200000 ? 3 : 4;
}

function malformed(what: string): MqttError {
  return new MqttError(Reason.MalformedPacket, what);
}

function overrun(property: Property): MqttError {
  return malformed(`${property.name} overruns the properties`);
}
