/**
 * What is in a control packet, once it is no longer bytes?
 *
 * The shapes here are the same for MQTT 3.1 (version 3), 3.1.1 (4) and 5.0 (5): what an older version cannot say has the
 * value that 5.0 gives to its absence. PUBLISH and the acknowledgements live with their codecs, `publish.ts` and `ack.ts`.
 */
import type { Reason } from "./reason.ts";

export type ProtocolVersion = 3 | 4 | 5;
export type Qos = 0 | 1 | 2;

export const PacketType = {
  CONNECT: 1,
  CONNACK: 2,
  PUBLISH: 3,
  PUBACK: 4,
  PUBREC: 5,
  PUBREL: 6,
  PUBCOMP: 7,
  SUBSCRIBE: 8,
  SUBACK: 9,
  UNSUBSCRIBE: 10,
  UNSUBACK: 11,
  PINGREQ: 12,
  PINGRESP: 13,
  DISCONNECT: 14,
  AUTH: 15,
} as const;

export type PacketType = (typeof PacketType)[keyof typeof PacketType];

/** One packet inside a larger buffer. {@link FrameReader} is one; a decoder reads it before the reader moves on. */
export interface Frame {
  readonly bytes: Uint8Array;
  readonly type: number;
  readonly flags: number;
  /** Of the fixed header. */
  readonly start: number;
  /** The first byte after the fixed header. */
  readonly body: number;
  readonly end: number;
}

/** A PINGRESP. Shared: to be sent, never written to. */
export const PINGRESP: Uint8Array = Uint8Array.of(0xd0, 0x00);

export const EMPTY: Uint8Array = new Uint8Array(0);

export interface Will {
  topic: string;
  payload: Uint8Array;
  qos: Qos;
  retain: boolean;
  delaySeconds: number;
  expirySeconds: number | undefined;
  /** Payload Format Indicator 1. */
  text?: true | undefined;
  /** In the forwarded form of {@link Publish.properties}: without delay and expiry, order kept. Empty below v5. */
  properties: Uint8Array;
}

/** Nothing in a decoded CONNECT refers to the frame's memory: it may be kept as long as the connection. */
export interface Connect {
  version: ProtocolVersion;
  /** Clean Session before 5.0. */
  cleanStart: boolean;
  keepAliveSeconds: number;
  /** Empty asks for an assigned one. Never empty in 3.1, nor in 3.1.1 without a clean session. */
  clientId: string;
  username: string | undefined;
  password: Uint8Array | undefined;
  will: Will | undefined;
  sessionExpirySeconds: number | undefined;
  receiveMaximum: number | undefined;
  maximumPacketSize: number | undefined;
  topicAliasMaximum: number | undefined;
  requestResponseInformation: boolean;
  /** True when absent. */
  requestProblemInformation: boolean;
  authenticationMethod: string | undefined;
  authenticationData: Uint8Array | undefined;
}

export interface SubscriptionRequest {
  /** Valid UTF-8, otherwise unchecked: a bad filter is answered by its own SUBACK code, not by closing. */
  filter: string;
  qos: Qos;
  noLocal: boolean;
  retainAsPublished: boolean;
  retainHandling: 0 | 1 | 2;
}

export interface Subscribe {
  packetId: number;
  subscriptionId: number | undefined;
  subscriptions: SubscriptionRequest[];
}

export interface Unsubscribe {
  packetId: number;
  /** Unchecked, as in {@link SubscriptionRequest.filter}. */
  filters: string[];
}

export interface Disconnect {
  reason: Reason;
  sessionExpirySeconds: number | undefined;
}

export interface Auth {
  reason: Reason;
  method: string;
  data: Uint8Array | undefined;
}

export interface ConnackProperties {
  sessionExpirySeconds?: number | undefined;
  receiveMaximum?: number | undefined;
  /** Absent means 2, which has no encoding [MQTT-3.2.2-9]. */
  maximumQos?: 0 | 1 | undefined;
  retainAvailable?: boolean | undefined;
  maximumPacketSize?: number | undefined;
  assignedClientId?: string | undefined;
  topicAliasMaximum?: number | undefined;
  reasonString?: string | undefined;
  wildcardSubscriptionAvailable?: boolean | undefined;
  subscriptionIdentifiersAvailable?: boolean | undefined;
  sharedSubscriptionAvailable?: boolean | undefined;
  serverKeepAliveSeconds?: number | undefined;
  responseInformation?: string | undefined;
  serverReference?: string | undefined;
  authenticationMethod?: string | undefined;
  authenticationData?: Uint8Array | undefined;
}

export interface Connack {
  sessionPresent: boolean;
  reason: Reason;
  /** Written to v5 clients only. */
  properties?: ConnackProperties | undefined;
}

/** What a CONNECT is held to before anything of it is believed. */
export interface ConnectLimits {
  topicBytesMax: number;
  topicLevelsMax: number;
  clientIdBytesMax: number;
}
