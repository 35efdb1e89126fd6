/**
 * How do the packets that are neither PUBLISH nor an acknowledgement become values, and our answers bytes?
 *
 * mqtt-packet reads and writes them, and this is the only file that knows it. Reading: `validate.ts` first judges the
 * raw bytes, because mqtt-packet is lenient; what it then refuses nevertheless is malformed. Writing: its stream is a
 * list of chunks that is joined here, because its own joining wants Node's Buffer for binary properties.
 */
import mqttPacket from "mqtt-packet";
import type {
  Auth,
  Connack,
  Connect,
  ConnectLimits,
  Disconnect,
  Frame,
  ProtocolVersion,
  Subscribe,
  Unsubscribe,
  Will,
} from "./packet.ts";
import { EMPTY } from "./packet.ts";
import { connackReason, connackReturnCode, disconnectReason, MqttError, Reason, subackReturnCode } from "./reason.ts";
import { encodeUtf8 } from "./utf8.ts";
import {
  validateAuth,
  validateConnect,
  validateDisconnect,
  validateSubscribe,
  validateUnsubscribe,
  type ConnectShape,
} from "./validate.ts";

export type * from "./packet.ts";
export { connectVersionHint } from "./validate.ts";

/** What is used of mqtt-packet, in words that need none of Node's types. */
interface MqttPacket {
  parser(settings: { protocolVersion: ProtocolVersion | undefined }): Parser;
  writeToStream: {
    (packet: object, stream: Sink, settings: { protocolVersion: ProtocolVersion }): boolean;
    cacheNumbers: boolean;
  };
}

interface Parser {
  on(event: "packet", listener: (packet: DecodedPacket) => void): void;
  on(event: "error", listener: (error: Error) => void): void;
  parse(bytes: Uint8Array): number;
}

interface Sink {
  write(chunk: Uint8Array | string): boolean;
  destroy(error: Error): void;
}

interface DecodedPacket {
  messageId: number;
  reasonCode: number;
  clean: boolean;
  keepalive: number;
  clientId: string;
  username?: string;
  password?: Uint8Array;
  will?: { topic: string; payload: Uint8Array; qos: 0 | 1 | 2; retain: boolean };
  subscriptions: { topic: string; qos: 0 | 1 | 2; nl?: boolean; rap?: boolean; rh?: 0 | 1 | 2 }[];
  unsubscriptions: string[];
  properties?: {
    sessionExpiryInterval?: number;
    receiveMaximum?: number;
    maximumPacketSize?: number;
    topicAliasMaximum?: number;
    requestResponseInformation?: boolean;
    requestProblemInformation?: boolean;
    authenticationMethod?: string;
    authenticationData?: Uint8Array;
    subscriptionIdentifier?: number;
  };
}

const library = mqttPacket as unknown as MqttPacket;
// Its cache is 65,536 buffers, made when the first packet is written: more than an isolate should pay for acknowledgements
// that ack.ts writes anyway.
library.writeToStream.cacheNumbers = false;

/**
 * The frame's fixed header has been checked, here and in every decoder below.
 *
 * @throws MqttError UnsupportedProtocolVersion, ClientIdentifierNotValid (too long; empty where that is illegal),
 * TopicNameInvalid (the will's), MalformedPacket or ProtocolError
 */
export function decodeConnect(frame: Frame, limits: ConnectLimits): Connect {
  const shape = validateConnect(frame, limits);
  const packet = decode(frame, undefined);
  const properties = packet.properties ?? {};
  return {
    version: shape.version,
    cleanStart: packet.clean,
    keepAliveSeconds: packet.keepalive,
    clientId: packet.clientId,
    username: packet.username,
    password: packet.password && own(packet.password),
    will: packet.will && will(packet.will, shape),
    sessionExpirySeconds: properties.sessionExpiryInterval,
    receiveMaximum: properties.receiveMaximum,
    maximumPacketSize: properties.maximumPacketSize,
    topicAliasMaximum: properties.topicAliasMaximum,
    requestResponseInformation: properties.requestResponseInformation ?? false,
    requestProblemInformation: properties.requestProblemInformation ?? true,
    authenticationMethod: properties.authenticationMethod,
    authenticationData: properties.authenticationData && own(properties.authenticationData),
  };
}

function will(decoded: NonNullable<DecodedPacket["will"]>, shape: ConnectShape): Will {
  const properties = shape.willProperties;
  return {
    topic: decoded.topic,
    payload: own(decoded.payload),
    qos: decoded.qos,
    retain: decoded.retain,
    delaySeconds: properties?.delaySeconds ?? 0,
    expirySeconds: properties?.expirySeconds,
    text: properties?.text,
    // From the raw bytes: mqtt-packet groups user properties by name and so loses their order [MQTT-3.1.3-10].
    properties: properties ? own(properties.forwarded) : EMPTY,
  };
}

/**
 * The syntax of filters is not judged: a bad one is answered in its place in the SUBACK.
 *
 * @throws MqttError
 */
export function decodeSubscribe(frame: Frame, version: ProtocolVersion): Subscribe {
  validateSubscribe(frame, version);
  const packet = decode(frame, version);
  return {
    packetId: packet.messageId,
    subscriptionId: packet.properties?.subscriptionIdentifier,
    subscriptions: packet.subscriptions.map((subscription) => ({
      filter: subscription.topic,
      qos: subscription.qos,
      noLocal: subscription.nl ?? false,
      retainAsPublished: subscription.rap ?? false,
      retainHandling: subscription.rh ?? 0,
    })),
  };
}

/** @throws MqttError */
export function decodeUnsubscribe(frame: Frame, version: ProtocolVersion): Unsubscribe {
  validateUnsubscribe(frame, version);
  const packet = decode(frame, version);
  return { packetId: packet.messageId, filters: packet.unsubscriptions };
}

/** @throws MqttError */
export function decodeDisconnect(frame: Frame, version: ProtocolVersion): Disconnect {
  validateDisconnect(frame, version);
  const packet = decode(frame, version);
  return {
    reason: (packet.reasonCode ?? Reason.NormalDisconnection) as Reason,
    sessionExpirySeconds: packet.properties?.sessionExpiryInterval,
  };
}

/** @throws MqttError */
export function decodeAuth(frame: Frame): Auth {
  validateAuth(frame);
  const packet = decode(frame, 5);
  const { authenticationMethod = "", authenticationData } = packet.properties ?? {};
  return {
    reason: packet.reasonCode as Reason,
    method: authenticationMethod,
    data: authenticationData && own(authenticationData),
  };
}

function decode(frame: Frame, version: ProtocolVersion | undefined): DecodedPacket {
  // One parser for each packet: it reads whatever is in its buffer, so nothing but this packet may be there.
  const parser = library.parser({ protocolVersion: version });
  let decoded: DecodedPacket | undefined;
  let failure: Error | undefined;
  parser.on("packet", (packet) => (decoded = packet));
  parser.on("error", (error) => (failure = error));
  parser.parse(frame.bytes.subarray(frame.start, frame.end));
  if (failure !== undefined || decoded === undefined) {
    throw new MqttError(Reason.MalformedPacket, failure?.message ?? "an incomplete packet");
  }
  return decoded;
}

/** A copy that is ours, as mqtt-packet answers with views into the frame. */
function own(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

/**
 * A reason that no CONNACK may carry is replaced by the nearest that may [MQTT-3.2.2-8].
 *
 * @param packetBytesMax the client's Maximum Packet Size; the reason string is dropped to keep it [MQTT-3.2.2-19]
 * @returns `undefined` when the client's version has no form for the refusal, or nothing fits: close without a word
 */
export function encodeConnack(
  connack: Connack,
  version: ProtocolVersion,
  packetBytesMax = Infinity,
): Uint8Array | undefined {
  const accepted = connack.reason === Reason.Success;
  // [MQTT-3.2.2-6], [v3 MQTT-3.2.2-4]; MQTT 3.1 has no such bit.
  const sessionPresent = accepted && connack.sessionPresent && version > 3;
  if (version < 5) {
    const returnCode = accepted ? 0 : connackReturnCode(connack.reason);
    return returnCode === undefined ? undefined : encode({ cmd: "connack", sessionPresent, returnCode }, version);
  }
  const p = connack.properties ?? {};
  const bytes = encodeWithin(packetBytesMax, p.reasonString, (reasonString) => ({
    cmd: "connack",
    sessionPresent,
    reasonCode: connackReason(connack.reason),
    properties: {
      sessionExpiryInterval: p.sessionExpirySeconds,
      receiveMaximum: p.receiveMaximum,
      maximumQoS: p.maximumQos,
      retainAvailable: p.retainAvailable,
      maximumPacketSize: p.maximumPacketSize,
      assignedClientIdentifier: p.assignedClientId,
      topicAliasMaximum: p.topicAliasMaximum,
      reasonString,
      wildcardSubscriptionAvailable: p.wildcardSubscriptionAvailable,
      subscriptionIdentifiersAvailable: p.subscriptionIdentifiersAvailable,
      sharedSubscriptionAvailable: p.sharedSubscriptionAvailable,
      serverKeepAlive: p.serverKeepAliveSeconds,
      responseInformation: p.responseInformation,
      serverReference: p.serverReference,
      authenticationMethod: p.authenticationMethod,
      authenticationData: p.authenticationData,
    },
  }));
  return bytes.length > packetBytesMax ? undefined : bytes;
}

/** `codes` are v5 codes, one for each filter and in their order [MQTT-3.8.4-6]; earlier versions get them narrowed. */
export function encodeSuback(packetId: number, codes: readonly number[], version: ProtocolVersion): Uint8Array {
  const granted = version === 5 ? codes : codes.map(subackReturnCode);
  return encode({ cmd: "suback", messageId: packetId, granted }, version);
}

/** Before v5 an UNSUBACK has no codes and its identifier is all it says. */
export function encodeUnsuback(packetId: number, codes: readonly number[], version: ProtocolVersion): Uint8Array {
  return encode({ cmd: "unsuback", messageId: packetId, granted: codes }, version);
}

/**
 * For v5 clients; others are told nothing. A reason that a server may not send is replaced by the nearest that it may.
 *
 * @param packetBytesMax the client's Maximum Packet Size; the reason string is dropped to keep it [MQTT-3.14.2-3]
 */
export function encodeDisconnect(
  reason: Reason,
  properties: { reasonString?: string | undefined; serverReference?: string | undefined } = {},
  packetBytesMax = Infinity,
): Uint8Array {
  // Never a Session Expiry Interval: only a client may send that [MQTT-3.14.2-2].
  return encodeWithin(packetBytesMax, properties.reasonString, (reasonString) => ({
    cmd: "disconnect",
    reasonCode: disconnectReason(reason),
    properties: { reasonString, serverReference: properties.serverReference },
  }));
}

/** For Success and ContinueAuthentication, which are what a server may say [MQTT-3.15.2-1]. */
export function encodeAuth(auth: Auth): Uint8Array {
  return encode(
    {
      cmd: "auth",
      reasonCode: auth.reason,
      properties: { authenticationMethod: auth.method, authenticationData: auth.data }, // [MQTT-4.12.0-5]
    },
    5,
  );
}

function encodeWithin(
  packetBytesMax: number,
  reasonString: string | undefined,
  packet: (reasonString: string | undefined) => object,
): Uint8Array {
  // mqtt-packet would do this by itself, but it compares the limit with the remaining length instead of the packet.
  const bytes = encode(packet(reasonString), 5);
  return bytes.length > packetBytesMax && reasonString !== undefined ? encode(packet(undefined), 5) : bytes;
}

function encode(packet: object, version: ProtocolVersion): Uint8Array {
  const chunks: Uint8Array[] = [];
  let length = 0;
  library.writeToStream(
    packet,
    {
      write(chunk) {
        const bytes = typeof chunk === "string" ? encodeUtf8(chunk) : chunk;
        chunks.push(bytes);
        length += bytes.length;
        return true;
      },
      destroy(error) {
        throw error;
      },
    },
    { protocolVersion: version },
  );
  const joined = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    joined.set(chunk, at);
    at += chunk.length;
  }
  return joined;
}
