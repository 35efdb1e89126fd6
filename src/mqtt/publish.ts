/**
 * How does a PUBLISH become a message, and a message a PUBLISH, at the cost that the most frequent packet may have?
 *
 * Reading copies nothing but the topic: properties and payload are views into the frame's memory, which stays as it is
 * but keeps the whole chunk alive; who stores them copies them. Writing allocates once, the exact size. The properties
 * that a server must pass on unaltered and in order [MQTT-3.3.2-4, -15 to -18, -20] are carried as the bytes they came as.
 */
import { EMPTY, PacketType, type ProtocolVersion, type Qos } from "./packet.ts";
import { PropertyCursor, PropertyId, varintLength, writeVarint, type PropertyContext } from "./properties.ts";
import { MqttError, Reason } from "./reason.ts";
import { readTopic, type TopicCache } from "./topic-cache.ts";
import type { TopicLimits } from "./topic.ts";

export interface Publish {
  dup: boolean;
  qos: Qos;
  retain: boolean;
  /** 0 for QoS 0. */
  packetId: number;
  /** Empty when only an alias is given. */
  topic: string;
  /** 0: none. */
  alias: number;
  expirySeconds: number | undefined;
  /**
   * The v5 properties to forward: payload format indicator, response topic, correlation data, user properties, content
   * type, as received; neither expiry nor alias nor subscription identifiers. Empty below v5.
   */
  properties: Uint8Array;
  /** Payload Format Indicator 1: the payload is said to be UTF-8. It is not checked here. */
  text?: true | undefined;
  payload: Uint8Array;
}

/**
 * @param topics saves decoding a topic that was read before
 * @throws MqttError
 */
export function readPublish(
  frame: { readonly bytes: Uint8Array; readonly flags: number; readonly body: number; readonly end: number },
  version: ProtocolVersion,
  limits: TopicLimits,
  topics?: TopicCache,
): Publish {
  const { bytes, flags, body, end } = frame;
  const qos = (flags >> 1) & 3;
  const dup = (flags & 8) !== 0;
  if (qos === 3) throw new MqttError(Reason.MalformedPacket, "a PUBLISH with QoS 3"); // [MQTT-3.3.1-4]
  if (dup && qos === 0) throw new MqttError(Reason.MalformedPacket, "a duplicate with QoS 0"); // [MQTT-3.3.1-2]

  let at = body + 2;
  if (at > end) throw truncated();
  const topicEnd = at + bytes[body]! * 256 + bytes[body + 1]!;
  if (topicEnd > end) throw truncated();
  let topic = "";
  if (topicEnd > at) topic = topics?.read(bytes, at, topicEnd, limits) ?? readTopic(bytes, at, topicEnd, limits);
  at = topicEnd;

  let packetId = 0;
  if (qos > 0) {
    if (at + 2 > end) throw truncated();
    packetId = bytes[at]! * 256 + bytes[at + 1]!;
    if (packetId === 0) throw new MqttError(Reason.ProtocolError, "packet identifier 0"); // [MQTT-2.2.1-3]
    at += 2;
  }

  let alias = 0;
  let expirySeconds: number | undefined;
  let properties = EMPTY;
  let text: true | undefined;
  if (version === 5) {
    if (at < end && bytes[at] === 0) {
      at += 1;
    } else {
      const found = readForwarded(bytes, at, end, PacketType.PUBLISH);
      ({ alias, expirySeconds, text } = found);
      properties = found.forwarded;
      at = found.end;
    }
  }

  if (topic === "" && alias === 0) {
    // §3.3.2.1: only an alias can stand for a topic.
    if (version === 5) throw new MqttError(Reason.ProtocolError, "neither a topic nor an alias");
    throw new MqttError(Reason.TopicNameInvalid, "a topic is empty"); // [MQTT-4.7.3-1]
  }

  return {
    dup,
    qos: qos as Qos,
    retain: (flags & 1) !== 0,
    packetId,
    topic,
    alias,
    expirySeconds,
    properties,
    text,
    payload: at === end ? EMPTY : bytes.subarray(at, end),
  };
}

export interface MessageProperties {
  alias: number;
  expirySeconds: number | undefined;
  /** Wills only. */
  delaySeconds: number;
  /** Payload Format Indicator 1; forwarded too. */
  text: true | undefined;
  /** A view if what is forwarded is contiguous, else a copy. */
  forwarded: Uint8Array;
  /** Of the property section. */
  end: number;
}

/** Splits the properties of a message, or of a will, into those for the server and those for the receiver. */
export function readForwarded(
  bytes: Uint8Array,
  start: number,
  end: number,
  context: PropertyContext,
): MessageProperties {
  const cursor = new PropertyCursor(bytes, start, end, context);
  const result: MessageProperties = {
    alias: 0,
    expirySeconds: undefined,
    delaySeconds: 0,
    text: undefined,
    forwarded: EMPTY,
    end: cursor.end,
  };
  // The run of forwarded bytes that is still growing.
  let runStart = cursor.start;
  while (cursor.next()) {
    switch (cursor.id) {
      case PropertyId.MessageExpiryInterval:
        result.expirySeconds = cursor.value;
        break;
      case PropertyId.TopicAlias:
        result.alias = cursor.value;
        break;
      case PropertyId.WillDelayInterval:
        result.delaySeconds = cursor.value;
        break;
      case PropertyId.SubscriptionIdentifier:
        throw new MqttError(Reason.ProtocolError, "a subscription identifier from a client"); // [MQTT-3.3.4-6]
      case PropertyId.PayloadFormatIndicator:
        result.text = cursor.value === 1 || undefined;
        continue;
      default:
        continue;
    }
    result.forwarded = append(result.forwarded, bytes.subarray(runStart, cursor.at));
    runStart = cursor.valueEnd;
  }
  result.forwarded = append(result.forwarded, bytes.subarray(runStart, cursor.end));
  return result;
}

function append(head: Uint8Array, tail: Uint8Array): Uint8Array {
  if (head.length === 0) return tail;
  if (tail.length === 0) return head;
  const joined = new Uint8Array(head.length + tail.length);
  joined.set(head);
  joined.set(tail, head.length);
  return joined;
}

export interface OutgoingPublish {
  version: ProtocolVersion;
  qos: Qos;
  dup: boolean;
  retain: boolean;
  /** Ignored for QoS 0 [MQTT-2.2.1-2]. */
  packetId: number;
  /** In UTF-8. */
  topic: Uint8Array;
  /** What remains of it [MQTT-3.3.2-6]. This and the next two are ignored below v5. */
  expirySeconds: number | undefined;
  /** Topic Alias, beside a topic or in the place of one that is empty [MQTT §3.3.2.3.4]. */
  topicAlias?: number | undefined;
  subscriptionIds: readonly number[];
  properties: Uint8Array;
  payload: Uint8Array;
}

/** How many bytes {@link writePublish} will write. */
export function publishLength(p: OutgoingPublish): number {
  const length = remainingLength(p, propertyLength(p));
  return 1 + varintLength(length) + length;
}

/** The packet in a buffer of its own. Who sends many at once saves the allocations with {@link writePublish}. */
export function encodePublish(p: OutgoingPublish): Uint8Array {
  const bytes = new Uint8Array(publishLength(p));
  writePublish(bytes, 0, p);
  return bytes;
}

/** Writes the packet at `at`, where {@link publishLength} bytes must be free, and returns the position behind it. */
export function writePublish(bytes: Uint8Array, at: number, p: OutgoingPublish): number {
  const propertyBytes = propertyLength(p);
  bytes[at++] = (PacketType.PUBLISH << 4) | (p.dup ? 8 : 0) | (p.qos << 1) | (p.retain ? 1 : 0);
  at = writeVarint(bytes, at, remainingLength(p, propertyBytes));
  at = writeTwoBytes(bytes, at, p.topic.length);
  at = copy(bytes, at, p.topic);
  if (p.qos > 0) at = writeTwoBytes(bytes, at, p.packetId);
  if (p.version === 5) {
    at = writeVarint(bytes, at, propertyBytes);
    if (p.expirySeconds !== undefined) {
      bytes[at++] = PropertyId.MessageExpiryInterval;
      at = writeTwoBytes(bytes, at, p.expirySeconds >>> 16);
      at = writeTwoBytes(bytes, at, p.expirySeconds);
    }
    if (p.topicAlias !== undefined) {
      bytes[at++] = PropertyId.TopicAlias;
      at = writeTwoBytes(bytes, at, p.topicAlias);
    }
    for (const id of p.subscriptionIds) {
      bytes[at++] = PropertyId.SubscriptionIdentifier;
      at = writeVarint(bytes, at, id);
    }
    at = copy(bytes, at, p.properties);
  }
  return copy(bytes, at, p.payload);
}

function propertyLength(p: OutgoingPublish): number {
  if (p.version < 5) return 0;
  let length = p.properties.length + (p.expirySeconds === undefined ? 0 : 5) + (p.topicAlias === undefined ? 0 : 3);
  for (const id of p.subscriptionIds) length += 1 + varintLength(id);
  return length;
}

function remainingLength(p: OutgoingPublish, propertyBytes: number): number {
  const properties = p.version < 5 ? 0 : varintLength(propertyBytes) + propertyBytes;
  const length = 2 + p.topic.length + (p.qos > 0 ? 2 : 0) + properties + p.payload.length;
  if (p.topic.length > 0xffff || length > 0x0fffffff) throw new RangeError("a message that no PUBLISH can hold");
  return length;
}

/**
 * Where the packet identifier of an encoded PUBLISH with QoS above 0 sits (two bytes, high first), so that one encoding
 * can be copied and patched for each subscriber.
 */
export function packetIdPosition(topicBytes: number, packetBytes: Uint8Array): number {
  let at = 1;
  while (packetBytes[at]! >= 0x80) at += 1;
  return at + 3 + topicBytes;
}

function writeTwoBytes(bytes: Uint8Array, at: number, value: number): number {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
  return at + 2;
}

function copy(bytes: Uint8Array, at: number, source: Uint8Array): number {
  const { length } = source;
  // Below this, a loop is quicker than the call into set().
  if (length <= 32) for (let from = 0; from < length; from++) bytes[at + from] = source[from]!;
  else bytes.set(source, at);
  return at + length;
}

function truncated(): MqttError {
  return new MqttError(Reason.MalformedPacket, "a PUBLISH ends inside a field");
}
