/**
 * What can go wrong between us and a peer, and how is it said on the wire?
 *
 * One table of reason codes (MQTT 5.0 §2.4) serves all versions: a 3.1 or 3.1.1 connection decides with the same codes
 * and narrows them only when it writes. Which codes a packet may carry is a second table, because a code that is
 * legal in one packet is a protocol error in another.
 */

export const Reason = {
  Success: 0x00,
  NormalDisconnection: 0x00,
  GrantedQos0: 0x00,
  GrantedQos1: 0x01,
  GrantedQos2: 0x02,
  DisconnectWithWill: 0x04,
  NoMatchingSubscribers: 0x10,
  NoSubscriptionExisted: 0x11,
  ContinueAuthentication: 0x18,
  ReAuthenticate: 0x19,
  UnspecifiedError: 0x80,
  MalformedPacket: 0x81,
  ProtocolError: 0x82,
  ImplementationSpecificError: 0x83,
  UnsupportedProtocolVersion: 0x84,
  ClientIdentifierNotValid: 0x85,
  BadUserNameOrPassword: 0x86,
  NotAuthorized: 0x87,
  ServerUnavailable: 0x88,
  ServerBusy: 0x89,
  Banned: 0x8a,
  ServerShuttingDown: 0x8b,
  BadAuthenticationMethod: 0x8c,
  KeepAliveTimeout: 0x8d,
  SessionTakenOver: 0x8e,
  TopicFilterInvalid: 0x8f,
  TopicNameInvalid: 0x90,
  PacketIdentifierInUse: 0x91,
  PacketIdentifierNotFound: 0x92,
  ReceiveMaximumExceeded: 0x93,
  TopicAliasInvalid: 0x94,
  PacketTooLarge: 0x95,
  MessageRateTooHigh: 0x96,
  QuotaExceeded: 0x97,
  AdministrativeAction: 0x98,
  PayloadFormatInvalid: 0x99,
  RetainNotSupported: 0x9a,
  QosNotSupported: 0x9b,
  UseAnotherServer: 0x9c,
  ServerMoved: 0x9d,
  SharedSubscriptionsNotSupported: 0x9e,
  ConnectionRateExceeded: 0x9f,
  MaximumConnectTime: 0xa0,
  SubscriptionIdentifiersNotSupported: 0xa1,
  WildcardSubscriptionsNotSupported: 0xa2,
} as const;

export type Reason = (typeof Reason)[keyof typeof Reason];

const words = new Map<number, string>();
for (const [name, code] of Object.entries(Reason)) {
  if (!words.has(code)) words.set(code, name.replace(/(?<=[a-z])(?=[A-Z0-9])/g, " ").toLowerCase());
}

/** The code in words, for logs: `0x95` is "packet too large". */
export function reasonName(code: number): string {
  return words.get(code) ?? `unknown reason 0x${code.toString(16).padStart(2, "0")}`;
}

/** The peer broke the protocol, or asks for what it may not have. Always ends the connection [MQTT-4.13.1-1]. */
export class MqttError extends Error {
  readonly reason: Reason;

  constructor(reason: Reason, message: string) {
    super(message);
    this.name = "MqttError";
    this.reason = reason;
  }
}

const acknowledgement = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
const release = [0x00, 0x92];

/** Which codes a packet may carry, by its sender where the two differ (the "sent by" columns of §3.14.2.1, §3.15.2.1). */
const legal = {
  // [MQTT-3.2.2-8]
  connack: [
    0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99, 0x9a, 0x9b,
    0x9c, 0x9d, 0x9f,
  ],
  puback: acknowledgement, // [MQTT-3.4.2-1]
  pubrec: acknowledgement, // [MQTT-3.5.2-1]
  pubrel: release, // [MQTT-3.6.2-1]
  pubcomp: release, // [MQTT-3.7.2-1]
  suback: [0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2], // [MQTT-3.9.3-2]
  unsuback: [0x00, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91], // [MQTT-3.11.3-2]
  // [MQTT-3.14.2-1]
  clientDisconnect: [0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99],
  serverDisconnect: [
    0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
    0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2,
  ],
  clientAuth: [0x18, 0x19], // [MQTT-3.15.2-1]
  serverAuth: [0x00, 0x18],
} as const satisfies Record<string, readonly number[]>;

export type ReasonTable = keyof typeof legal;

const legalSets = new Map<string, ReadonlySet<number>>(
  Object.entries(legal).map(([packet, codes]) => [packet, new Set<number>(codes)]),
);

/** Whether `packet` may carry `code`. */
export function isLegalReason(packet: ReasonTable, code: number): code is Reason {
  return legalSets.get(packet)?.has(code) ?? false;
}

/** The nearest code that a v5 CONNACK may carry, so that no other table leaks into it [MQTT-3.2.2-8]. */
export function connackReason(reason: Reason): Reason {
  if (isLegalReason("connack", reason)) return reason;
  return reason === Reason.ServerShuttingDown ? Reason.ServerUnavailable : Reason.UnspecifiedError;
}

/** The nearest code that a DISCONNECT from a server may carry [MQTT-3.14.2-1]. */
export function disconnectReason(reason: Reason): Reason {
  if (isLegalReason("serverDisconnect", reason)) return reason;
  switch (reason) {
    case Reason.BadUserNameOrPassword:
    case Reason.Banned:
    case Reason.BadAuthenticationMethod:
      return Reason.NotAuthorized;
    case Reason.ServerUnavailable:
      return Reason.ServerBusy;
    default:
      return Reason.UnspecifiedError;
  }
}

/**
 * The CONNACK return code of 3.1 and 3.1.1. `undefined`: those versions have no word for it, and the connection is
 * closed without a CONNACK [v3 MQTT-3.2.2-6]; that includes a malformed CONNECT [v3 MQTT-3.1.4-1].
 */
export function connackReturnCode(reason: Reason): 1 | 2 | 3 | 4 | 5 | undefined {
  switch (reason) {
    case Reason.UnsupportedProtocolVersion:
      return 1;
    case Reason.ClientIdentifierNotValid:
      return 2;
    case Reason.ServerUnavailable:
    case Reason.ServerBusy:
    case Reason.ServerShuttingDown:
    case Reason.QuotaExceeded:
    case Reason.UseAnotherServer:
    case Reason.ServerMoved:
    case Reason.ConnectionRateExceeded:
      return 3;
    case Reason.BadUserNameOrPassword:
    case Reason.BadAuthenticationMethod:
      return 4;
    case Reason.NotAuthorized:
    case Reason.Banned:
      return 5;
    default:
      return undefined;
  }
}

/**
 * A SUBACK code for 3.1.1, which knows the three QoS values and one failure [v3 MQTT-3.9.3-2]. MQTT 3.1 knows no
 * failure at all; it is sent 0x80 too, because the alternative is to claim a subscription that does not exist.
 */
export function subackReturnCode(code: number): number {
  return code >= 0x80 ? 0x80 : code;
}
