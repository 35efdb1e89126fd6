/** The corpus: packets that we send. Each is the exact bytes, and what mqtt-packet's parser reads in them. */
import { encodeAck } from "../../src/mqtt/ack.ts";
import { encodeAuth, encodeConnack, encodeDisconnect, encodeSuback, encodeUnsuback } from "../../src/mqtt/codec.ts";
import { EMPTY, PacketType, PINGRESP, type ProtocolVersion } from "../../src/mqtt/packet.ts";
import { encodePublish, type OutgoingPublish } from "../../src/mqtt/publish.ts";
import { Reason } from "../../src/mqtt/reason.ts";
import { packet } from "./notation.ts";

export interface OutboundCase {
  version: ProtocolVersion;
  rule: string;
  what: string;
  bytes: Uint8Array | undefined;
  packet: string;
  parsed: object;
}

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

const publish = (changes: Partial<OutgoingPublish>): Uint8Array =>
  encodePublish({
    version: 4,
    qos: 0,
    dup: false,
    retain: false,
    packetId: 0,
    topic: utf8("a/b"),
    expirySeconds: undefined,
    subscriptionIds: [],
    properties: EMPTY,
    payload: utf8("hi"),
    ...changes,
  });

export function outboundCases(): OutboundCase[] {
  const cases: OutboundCase[] = [];
  const send = (
    version: ProtocolVersion,
    rule: string,
    what: string,
    bytes: Uint8Array | undefined,
    notation: string,
    parsed: object,
  ): void => void cases.push({ version, rule, what, bytes, packet: notation, parsed });
  const { PUBACK, PUBREC, PUBREL, PUBCOMP } = PacketType;

  const accepted = { sessionPresent: true, reason: Reason.Success };
  send(4, "v3 MQTT-3.2.2-2", "CONNACK, session present", encodeConnack(accepted, 4), "20 ( 01 00 )", {
    cmd: "connack",
    sessionPresent: true,
    returnCode: 0,
  });
  send(3, "MQTT 3.1 §3.2", "CONNACK of 3.1 has no session present", encodeConnack(accepted, 3), "20 ( 00 00 )", {
    sessionPresent: false,
    returnCode: 0,
  });
  send(5, "MQTT-3.2.2-3", "CONNACK, session present", encodeConnack(accepted, 5), "20 ( 01 00 ( ) )", {
    sessionPresent: true,
    reasonCode: 0,
  });
  for (const version of [4, 5] as const) {
    send(
      version,
      "MQTT-3.2.2-6",
      "a refusal has no session present",
      encodeConnack({ sessionPresent: true, reason: Reason.NotAuthorized }, version),
      version === 5 ? "20 ( 00 87 ( ) )" : "20 ( 00 05 )",
      { sessionPresent: false },
    );
  }
  send(
    4,
    "MQTT-3.1.2-2",
    "CONNACK, unsupported version",
    encodeConnack({ sessionPresent: false, reason: Reason.UnsupportedProtocolVersion }, 4),
    "20 ( 00 01 )",
    { returnCode: 1 },
  );
  send(
    5,
    "§3.2.2.3",
    "CONNACK, every property",
    encodeConnack(
      {
        sessionPresent: false,
        reason: Reason.Success,
        properties: {
          sessionExpirySeconds: 0xffffffff,
          receiveMaximum: 32,
          maximumQos: 1,
          retainAvailable: false,
          maximumPacketSize: 1048576,
          assignedClientId: "id",
          topicAliasMaximum: 0,
          reasonString: "ök",
          wildcardSubscriptionAvailable: true,
          subscriptionIdentifiersAvailable: false,
          sharedSubscriptionAvailable: true,
          serverKeepAliveSeconds: 60,
          responseInformation: "r",
          serverReference: "s",
          authenticationMethod: "m",
          authenticationData: Uint8Array.of(0, 255),
        },
      },
      5,
    ),
    "20 ( 00 00 ( 11 ffffffff 21 0020 24 01 25 00 27 00100000 12 'id' 22 0000 1f 'ök' 28 01 29 00 2a 01 13 003c 1a 'r' 1c 's' 15 'm' 16 [ 00ff ] ) )",
    {
      properties: {
        sessionExpiryInterval: 0xffffffff,
        maximumQoS: 1,
        assignedClientIdentifier: "id",
        reasonString: "ök",
        serverKeepAlive: 60,
        authenticationData: "00ff",
      },
    },
  );
  send(
    5,
    "MQTT-3.2.2-19",
    "CONNACK without the reason string that would not fit",
    encodeConnack({ sessionPresent: false, reason: Reason.Banned, properties: { reasonString: "you know why" } }, 5, 8),
    "20 ( 00 8a ( ) )",
    { reasonCode: 0x8a },
  );
  send(
    5,
    "MQTT-3.2.2-8",
    "CONNACK never carries a code of another table",
    encodeConnack({ sessionPresent: false, reason: Reason.ServerShuttingDown }, 5),
    "20 ( 00 88 ( ) )",
    { reasonCode: 0x88 },
  );

  send(4, "MQTT-4.3.1-1", "PUBLISH with QoS 0", publish({ packetId: 9 }), "30 ( 'a/b' \"hi\" )", {
    cmd: "publish",
    qos: 0,
    dup: false,
    retain: false,
    topic: "a/b",
    payload: "6869",
  });
  send(4, "MQTT-2.2.1-4", "PUBLISH with QoS 1", publish({ qos: 1, packetId: 0x1234 }), "32 ( 'a/b' 1234 \"hi\" )", {
    qos: 1,
    messageId: 0x1234,
  });
  send(4, "MQTT-3.3.1-1", "PUBLISH again", publish({ qos: 2, dup: true, packetId: 1 }), "3c ( 'a/b' 0001 \"hi\" )", {
    qos: 2,
    dup: true,
  });
  send(
    3,
    "v3 MQTT-3.3.1-8",
    "PUBLISH, retained, empty",
    publish({ version: 3, retain: true, payload: EMPTY }),
    "31 ( 'a/b' )",
    { retain: true },
  );
  send(
    4,
    "MQTT-3.3.2-4",
    "properties are not for 3.1.1",
    publish({ properties: packet("01 01"), expirySeconds: 3, subscriptionIds: [1] }),
    "30 ( 'a/b' \"hi\" )",
    { topic: "a/b" },
  );
  send(5, "MQTT-2.2.2-1", "PUBLISH without properties", publish({ version: 5 }), "30 ( 'a/b' ( ) \"hi\" )", {
    topic: "a/b",
  });
  send(
    5,
    "MQTT-3.3.4-3",
    "PUBLISH with expiry, identifiers and forwarded properties",
    publish({
      version: 5,
      qos: 1,
      packetId: 7,
      expirySeconds: 0x01020304,
      subscriptionIds: [1, 128, 268435455],
      properties: packet("01 01 26 'k' 'v'"),
    }),
    "32 ( 'a/b' 0007 ( 02 01020304 0b 01 0b 8001 0b ffffff7f 01 01 26 'k' 'v' ) \"hi\" )",
    {
      properties: {
        messageExpiryInterval: 0x01020304,
        subscriptionIdentifier: [1, 128, 268435455],
        userProperties: { k: "v" },
      },
    },
  );
  send(
    5,
    "§2.1.4",
    "PUBLISH with a long payload",
    publish({ version: 5, payload: new Uint8Array(20000) }),
    "30 ( 'a/b' ( ) 00*20000 )",
    { payload: "00".repeat(20000) },
  );

  send(4, "MQTT-2.2.1-5", "PUBACK", encodeAck(PUBACK, 258, 4, Reason.NotAuthorized), "40 ( 0102 )", {
    cmd: "puback",
    messageId: 258,
  });
  send(5, "§3.4.2.1", "PUBACK, success", encodeAck(PUBACK, 1, 5, Reason.Success), "40 ( 0001 )", { reasonCode: 0 });
  send(
    5,
    "MQTT-3.4.2-1",
    "PUBACK, no subscribers",
    encodeAck(PUBACK, 1, 5, Reason.NoMatchingSubscribers),
    "40 ( 0001 10 )",
    { reasonCode: 0x10 },
  );
  send(5, "MQTT-3.5.2-1", "PUBREC, quota exceeded", encodeAck(PUBREC, 1, 5, Reason.QuotaExceeded), "50 ( 0001 97 )", {
    cmd: "pubrec",
    reasonCode: 0x97,
  });
  send(4, "MQTT-3.6.1-1", "PUBREL", encodeAck(PUBREL, 1, 4, Reason.Success), "62 ( 0001 )", { cmd: "pubrel" });
  send(
    5,
    "MQTT-3.6.2-1",
    "PUBREL, not found",
    encodeAck(PUBREL, 1, 5, Reason.PacketIdentifierNotFound),
    "62 ( 0001 92 )",
    { reasonCode: 0x92 },
  );
  send(5, "MQTT-4.3.3-11", "PUBCOMP", encodeAck(PUBCOMP, 65535, 5, Reason.Success), "70 ( ffff )", {
    cmd: "pubcomp",
    messageId: 65535,
  });

  send(
    5,
    "MQTT-3.8.4-6",
    "SUBACK, a code for each filter",
    encodeSuback(5, [0, 1, 2, 0x87, 0x8f], 5),
    "90 ( 0005 ( ) 00 01 02 87 8f )",
    { cmd: "suback", granted: [0, 1, 2, 0x87, 0x8f] },
  );
  send(
    4,
    "v3 MQTT-3.9.3-2",
    "SUBACK, narrowed",
    encodeSuback(5, [0, 1, 2, 0x87, 0x8f], 4),
    "90 ( 0005 00 01 02 80 80 )",
    { granted: [0, 1, 2, 0x80, 0x80] },
  );
  send(
    5,
    "MQTT-3.11.3-1",
    "UNSUBACK, a code for each filter",
    encodeUnsuback(5, [0, 0x11], 5),
    "b0 ( 0005 ( ) 00 11 )",
    { cmd: "unsuback", granted: [0, 0x11] },
  );
  send(4, "v3 MQTT-3.10.4-4", "UNSUBACK has no payload", encodeUnsuback(5, [0, 0x11], 4), "b0 ( 0005 )", {
    messageId: 5,
  });
  send(3, "v3 MQTT-3.10.4-4", "UNSUBACK, MQTT 3.1", encodeUnsuback(5, [0], 3), "b0 ( 0005 )", { messageId: 5 });
  send(4, "MQTT-3.12.4-1", "PINGRESP", PINGRESP, "d0 ( )", { cmd: "pingresp" });

  send(5, "MQTT-3.1.4-3", "DISCONNECT, taken over", encodeDisconnect(Reason.SessionTakenOver), "e0 ( 8e ( ) )", {
    cmd: "disconnect",
    reasonCode: 0x8e,
  });
  send(
    5,
    "§3.14.2.2.5",
    "DISCONNECT, moved",
    encodeDisconnect(Reason.ServerMoved, { reasonString: "x", serverReference: "y" }),
    "e0 ( 9d ( 1f 'x' 1c 'y' ) )",
    { properties: { reasonString: "x", serverReference: "y" } },
  );
  send(
    5,
    "MQTT-3.14.2-3",
    "DISCONNECT without the reason string that would not fit",
    encodeDisconnect(Reason.KeepAliveTimeout, { reasonString: "hello?" }, 8),
    "e0 ( 8d ( ) )",
    { reasonCode: 0x8d },
  );
  send(
    5,
    "MQTT-3.14.2-1",
    "DISCONNECT never carries a code of another table",
    encodeDisconnect(Reason.Banned),
    "e0 ( 87 ( ) )",
    { reasonCode: 0x87 },
  );
  send(
    5,
    "MQTT-4.12.0-2",
    "AUTH, continue",
    encodeAuth({ reason: Reason.ContinueAuthentication, method: "m", data: Uint8Array.of(1) }),
    "f0 ( 18 ( 15 'm' 16 [ 01 ] ) )",
    { cmd: "auth", reasonCode: 0x18 },
  );
  send(
    5,
    "MQTT-4.12.0-5",
    "AUTH, success",
    encodeAuth({ reason: Reason.Success, method: "m", data: undefined }),
    "f0 ( 00 ( 15 'm' ) )",
    { properties: { authenticationMethod: "m" } },
  );
  return cases;
}
