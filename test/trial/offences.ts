/**
 * What a client must not send, or may and seldom does, each with what the specification has a broker say to it. None of
 * it is on a topic that anybody subscribes to.
 */

import { packet, properties, string, twoBytes } from "../broker/support/bytes.ts";
import type { Random } from "../support/random.ts";

export type Version = 4 | 5;

/** What has to come. Before MQTT 5 a broker says nothing to who is connected, and closes. */
export type Answer =
  /** The socket is closed, after DISCONNECT of this reason if the version has it. */
  | { readonly type: "disconnect"; readonly reason: number }
  /** The socket is closed, after CONNACK of this reason. */
  | { readonly type: "connack"; readonly reason: number }
  /** The socket is closed without a word. */
  | { readonly type: "closed" }
  /** It is served: these packets come, by name and packet id, and the connection goes on. */
  | { readonly type: "served"; readonly with: readonly string[] };

/** What the offender knows of its connection. */
export interface Circumstances {
  readonly version: Version;
  readonly random: Random;
  /** Of the broker, as its CONNACK has it; MQTT 5 only. */
  readonly receiveMaximum: number;
}

export interface Offence {
  readonly name: string;
  /** Before CONNECT or instead of it, right behind it, or when CONNACK has come. */
  readonly when: "first" | "at once" | "connected";
  readonly versions?: readonly Version[];
  bytes(circumstances: Circumstances): Uint8Array;
  answer(version: Version): Answer;
  /** Keep alive of its CONNECT. */
  readonly keepAliveSeconds?: number;
  /** It takes so long until the broker can know, in ms. */
  readonly afterMs?: number;
}

/** Filters with wildcards do not match it [MQTT-4.7.2-1]. */
const TOPIC = "$rude";
const MALFORMED = 0x81;
const PROTOCOL_ERROR = 0x82;
/** Longest Remaining Length that there is. */
const HUGE = [0xff, 0xff, 0xff, 0x7f];

const none = (version: Version): Buffer => (version === 5 ? Buffer.of(0) : Buffer.alloc(0));
const disconnect = (reason: number) => (): Answer => ({ type: "disconnect", reason });
const closed = (): Answer => ({ type: "closed" });

/** A CONNECT by hand. */
function connect(name: string, level: number, clientId: Buffer, length = 0): Buffer {
  const whole = packet(0x10, string(name), [level, 2], twoBytes(0), level >= 5 ? [0] : [], clientId);
  return length === 0 ? whole : whole.subarray(0, length);
}

function publish(flags: number, version: Version, topic: Buffer, packetId: number, more = none(version)): Buffer {
  return packet(0x30 | flags, topic, flags & 6 ? twoBytes(packetId) : [], more);
}

/** Nothing that ends a connection. */
export const HARMLESS: Offence = {
  name: "PUBREL, PUBREC and PUBCOMP of nothing",
  when: "connected",
  bytes: () => Buffer.concat([0x62, 0x50, 0x70].map((first) => packet(first, twoBytes(77)))),
  answer: () => ({ type: "served", with: ["pubcomp 77", "pubrel 77"] }),
};

export const OFFENCES: readonly Offence[] = [
  {
    name: "PINGREQ before CONNECT", // [MQTT-3.1.0-1]
    when: "first",
    bytes: () => Buffer.of(0xc0, 0),
    answer: closed,
  },
  {
    name: "PUBLISH before CONNECT",
    when: "first",
    bytes: ({ version }) => publish(0, version, string(TOPIC), 0),
    answer: closed,
  },
  {
    name: "garbage",
    when: "first",
    bytes: ({ random }) =>
      Buffer.from(
        Array.from(
          { length: 1 + random.below(60) },
          (_, i) => (i === 0 ? 0x20 : 0) + random.below(i === 0 ? 0xe0 : 256),
        ),
      ),
    answer: closed,
  },
  {
    name: "half of a CONNECT, and silence",
    when: "first",
    bytes: ({ random }) => connect("MQTT", 4, string("half"), 1 + random.below(15)),
    answer: closed,
    afterMs: 10_000,
  },
  {
    name: "a client id that is too long",
    when: "first",
    bytes: ({ version }) => connect("MQTT", version, string("x".repeat(1_000))),
    // 2: identifier rejected.
    answer: (version) => ({ type: "connack", reason: version === 5 ? 0x85 : 2 }),
  },
  {
    name: "a protocol version that nobody speaks",
    when: "first",
    bytes: ({ version }) => connect("MQTT", version === 5 ? 6 : 3, string("old")),
    answer: (version) => ({ type: "connack", reason: version === 5 ? 0x84 : 1 }),
  },
  {
    name: "PUBLISH before CONNACK", // Allowed [§3.1.4].
    when: "at once",
    bytes: ({ version }) => publish(2, version, string(TOPIC), 9),
    answer: () => ({ type: "served", with: ["puback 9"] }),
  },
  {
    name: "a second CONNECT", // [MQTT-3.1.0-2]
    when: "connected",
    bytes: ({ version }) => connect("MQTT", version, string("again")),
    answer: disconnect(PROTOCOL_ERROR),
  },
  {
    name: "reserved flags", // [MQTT-2.1.3-1]
    when: "connected",
    bytes: ({ version, random }) =>
      random.chance(0.5) ? packet(0x80, twoBytes(1), none(version), string(TOPIC), [0]) : packet(0x60, twoBytes(1)),
    answer: disconnect(MALFORMED),
  },
  {
    name: "QoS 3", // [MQTT-3.3.1-4]
    when: "connected",
    bytes: ({ version }) => publish(6, version, string(TOPIC), 1),
    answer: disconnect(MALFORMED),
  },
  {
    name: "a packet type that only a server sends",
    when: "connected",
    bytes: ({ random }) => random.of([Buffer.of(0xd0, 0), Buffer.of(0x20, 2, 0, 0)]),
    answer: disconnect(PROTOCOL_ERROR),
  },
  {
    name: "PUBLISH to a wildcard", // [MQTT-3.3.2-2]
    when: "connected",
    bytes: ({ version, random }) => publish(random.of([0, 2, 4]), version, string(random.of(["a/#", "+/b"])), 1),
    answer: disconnect(0x90),
  },
  {
    name: "topic alias 0 or above the maximum", // [MQTT-3.3.2-8, MQTT-3.3.2-9]
    when: "connected",
    versions: [5],
    bytes: ({ random }) => publish(0, 5, string(TOPIC), 0, properties([0x23, ...twoBytes(random.of([0, 33, 65_535]))])),
    answer: disconnect(0x94),
  },
  {
    name: "a topic alias of nothing",
    when: "connected",
    versions: [5],
    bytes: () => publish(0, 5, string(""), 0, properties([0x23, 0, 7])),
    answer: disconnect(PROTOCOL_ERROR),
  },
  {
    name: "more than Receive Maximum", // [MQTT-3.3.4-9]
    when: "connected",
    versions: [5],
    bytes: ({ receiveMaximum }) =>
      Buffer.concat(Array.from({ length: receiveMaximum + 1 }, (_, i) => publish(4, 5, string(TOPIC), i + 1))),
    answer: disconnect(0x93),
  },
  {
    name: "a packet above Maximum Packet Size", // [MQTT-3.2.2-15]
    when: "connected",
    bytes: () => Buffer.from([0x30, ...HUGE]),
    answer: disconnect(0x95),
  },
  {
    name: "SUBSCRIBE without filters", // [MQTT-3.8.3-2]
    when: "connected",
    bytes: ({ version }) => packet(0x82, twoBytes(1), none(version)),
    answer: disconnect(PROTOCOL_ERROR),
  },
  {
    name: "a topic that is not UTF-8", // [MQTT-1.5.4-1]
    when: "connected",
    bytes: ({ version, random }) =>
      publish(
        0,
        version,
        string(
          Buffer.from(
            random.of([
              [0xed, 0xa0, 0x80],
              [0xc0, 0xaf],
              [0x61, 0],
            ]),
          ),
        ),
        0,
      ),
    answer: disconnect(MALFORMED),
  },
  {
    name: "No Local on a shared subscription", // [MQTT-3.8.3-4]
    when: "connected",
    versions: [5],
    bytes: () => packet(0x82, twoBytes(1), [0], string("$share/rude/$rude"), [0x04]),
    answer: disconnect(PROTOCOL_ERROR),
  },
  {
    name: "AUTH without a method", // [MQTT-4.12.0-7]
    when: "connected",
    bytes: () => Buffer.of(0xf0, 0),
    answer: disconnect(PROTOCOL_ERROR),
  },
  HARMLESS,
  {
    name: "silence after half a packet", // [MQTT-3.1.2-22]
    when: "connected",
    bytes: ({ version }) => publish(2, version, string(TOPIC), 1).subarray(0, 5),
    answer: disconnect(0x8d),
    keepAliveSeconds: 2,
    afterMs: 3_000,
  },
];
