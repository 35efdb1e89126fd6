/** What the codec does with bytes that nobody has chosen: properties that hold for all of them. */
import fc from "fast-check";
import mqttPacket, { type Packet } from "mqtt-packet";
import { describe, expect, it } from "vitest";
import { encodeAck, type AckType } from "../../src/mqtt/ack.ts";
import { encodeConnack, encodeDisconnect, encodeSuback, encodeUnsuback } from "../../src/mqtt/codec.ts";
import { FrameReader } from "../../src/mqtt/frame.ts";
import { PacketType, type ProtocolVersion } from "../../src/mqtt/packet.ts";
import { isLegalReason, MqttError, Reason } from "../../src/mqtt/reason.ts";
import { inboundCases } from "./corpus.ts";
import { decode } from "./decode.ts";
import { hex, packet, shown } from "./notation.ts";

const versions = fc.constantFrom<ProtocolVersion>(3, 4, 5);
const packetIds = fc.integer({ min: 1, max: 65_535 });
const reasons = [...new Set(Object.values(Reason))];
const text = fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 }).filter((one) => !/[\0+#]/.test(one));
const seconds = fc.nat(0xffff_ffff);

const ofClients = [
  PacketType.CONNECT,
  PacketType.PUBLISH,
  PacketType.PUBACK,
  PacketType.PUBREC,
  PacketType.PUBREL,
  PacketType.PUBCOMP,
  PacketType.SUBSCRIBE,
  PacketType.UNSUBSCRIBE,
  PacketType.PINGREQ,
  PacketType.DISCONNECT,
  PacketType.AUTH,
];

/** The packets in a stream up to the first that is refused, and with what. */
function read(chunks: readonly Uint8Array[], version: ProtocolVersion): { packets: unknown[]; refused?: number } {
  const reader = new FrameReader(4096);
  const packets: unknown[] = [];
  try {
    for (const chunk of chunks) {
      reader.push(chunk);
      while (reader.next()) if (ofClients.includes(reader.type as never)) packets.push(shown(decode(reader, version)));
    }
  } catch (error) {
    if (!(error instanceof MqttError)) throw error;
    return { packets, refused: error.reason };
  }
  return { packets };
}

function peer(bytes: Uint8Array, version: ProtocolVersion): Record<string, unknown> {
  const parser = mqttPacket.parser({ protocolVersion: version });
  const found: Packet[] = [];
  parser.on("packet", (one) => found.push(one));
  parser.on("error", (error) => {
    throw error;
  });
  parser.parse(Buffer.from(bytes));
  expect(found).toHaveLength(1);
  return found[0] as unknown as Record<string, unknown>;
}

const frames = inboundCases().map((one) => packet(one.packet));

/** Packets of the corpus with some of their bytes replaced, inserted or left out. */
const mutated = fc
  .tuple(
    fc.constantFrom(...frames.filter((one) => one.length < 300)),
    fc.array(fc.tuple(fc.nat(), fc.constantFrom("set", "flip", "insert", "remove"), fc.nat(255)), {
      minLength: 1,
      maxLength: 4,
    }),
  )
  .map(([bytes, edits]) => {
    const edited = [...bytes];
    for (const [place, edit, byte] of edits) {
      const at = place % Math.max(1, edited.length);
      if (edit === "set") edited[at] = byte;
      else if (edit === "flip") edited[at] = (edited[at] ?? 0) ^ (1 << (byte & 7));
      else if (edit === "insert") edited.splice(at, 0, byte);
      else edited.splice(at, 1);
    }
    return Uint8Array.from(edited);
  });

/** A frame of any type around any body. */
const framed = fc
  .tuple(fc.nat(255), fc.uint8Array({ maxLength: 60 }))
  .map(([first, body]) => Uint8Array.of(first, body.length, ...body));

const streams = fc
  .array(fc.oneof(mutated, framed, fc.constantFrom(...frames.filter((one) => one.length < 300))), {
    minLength: 1,
    maxLength: 5,
  })
  .map((parts) => new Uint8Array(Buffer.concat(parts)));

describe("any bytes", () => {
  it("are packets or a reason to refuse them, and nothing else", () => {
    fc.assert(
      fc.property(fc.oneof(streams, fc.uint8Array({ maxLength: 100 })), versions, (bytes, version) => {
        const { refused } = read([bytes], version);
        if (refused !== undefined) expect(refused).toBeGreaterThanOrEqual(0x80);
      }),
      { numRuns: 5_000 },
    );
  });

  it("[MQTT-6.0.0-2] are the same packets and the same refusal wherever the stream is cut", () => {
    fc.assert(
      fc.property(streams, versions, fc.array(fc.nat(), { maxLength: 8 }), (bytes, version, places) => {
        const whole = read([bytes], version);
        const cuts = [0, ...places.map((at) => at % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
        const chunks = cuts.slice(1).map((end, index) => bytes.slice(cuts[index], end));
        expect(read(chunks, version)).toEqual(whole);
        expect(
          read(
            Array.from(bytes, (byte) => Uint8Array.of(byte)),
            version,
          ),
        ).toEqual(whole);
      }),
      { numRuns: 1_500 },
    );
  });

  it("that the peer refuses, we refuse", () => {
    fc.assert(
      fc.property(fc.oneof(mutated, framed), versions, (bytes, version) => {
        const reader = new FrameReader(4096);
        const { packets, refused } = read([bytes], version);
        reader.push(bytes);
        if (refused !== undefined || packets.length !== 1 || !reader.next() || reader.end !== bytes.length) return;
        if (reader.type === PacketType.PUBLISH && version === 5) return; // mqtt-packet knows no alias without a topic.
        peer(bytes, version);
      }),
      { numRuns: 3_000 },
    );
  });
});

describe("what we write, the peer reads", () => {
  it("acknowledgements, and so do we", () => {
    const types = [
      [PacketType.PUBACK, "puback"],
      [PacketType.PUBREC, "pubrec"],
      [PacketType.PUBREL, "pubrel"],
      [PacketType.PUBCOMP, "pubcomp"],
    ] as const;
    fc.assert(
      fc.property(
        fc.constantFrom(...types),
        packetIds,
        versions,
        fc.constantFrom(...reasons),
        (one, id, version, any) => {
          const [type, cmd] = one;
          const reason = isLegalReason(cmd, any) ? any : Reason.Success;
          const bytes = encodeAck(type as AckType, id, version, reason);
          const said = version === 5 ? reason : Reason.Success;
          expect(read([bytes], version)).toEqual({ packets: [{ packetId: id, reason: said }] });
          expect(peer(bytes, version)).toMatchObject({ cmd, messageId: id, ...(said > 0 && { reasonCode: said }) });
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it("CONNACK, within its limit", () => {
    const properties = fc.record(
      {
        sessionExpirySeconds: seconds,
        receiveMaximum: packetIds,
        maximumQos: fc.constantFrom<0 | 1>(0, 1),
        retainAvailable: fc.boolean(),
        maximumPacketSize: fc.integer({ min: 1, max: 0xffff_ffff }),
        assignedClientId: text,
        topicAliasMaximum: fc.nat(65_535),
        reasonString: text,
        sharedSubscriptionAvailable: fc.boolean(),
        serverKeepAliveSeconds: fc.nat(65_535),
        responseInformation: text,
        serverReference: text,
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(
        fc.boolean(),
        fc.constantFrom(...reasons),
        versions,
        properties,
        fc.nat(200),
        (present, reason, version, some, most) => {
          const bytes = encodeConnack({ sessionPresent: present, reason, properties: some }, version, most);
          if (bytes === undefined) return;
          if (version === 5) expect(bytes.length).toBeLessThanOrEqual(most);
          const said = peer(bytes, version);
          expect(said).toMatchObject({ cmd: "connack", sessionPresent: present && reason === 0 && version > 3 });
          if (version < 5) expect(said["returnCode"]).toBeLessThanOrEqual(5);
          else {
            expect(isLegalReason("connack", said["reasonCode"] as number)).toBe(true);
            const { assignedClientId, reasonString, ...others } = some;
            const told = (said["properties"] ?? {}) as Record<string, unknown>;
            expect(told["assignedClientIdentifier"]).toBe(assignedClientId);
            if (told["reasonString"] !== undefined) expect(told["reasonString"]).toBe(reasonString);
            expect(told["receiveMaximum"]).toBe(others.receiveMaximum);
            expect(told["sessionExpiryInterval"]).toBe(others.sessionExpirySeconds);
            expect(told["serverKeepAlive"]).toBe(others.serverKeepAliveSeconds);
          }
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it("SUBACK, UNSUBACK and DISCONNECT", () => {
    const codes = fc.array(fc.constantFrom(0, 1, 2, 0x80, 0x8f, 0x97, 0x9e), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(packetIds, codes, versions, (messageId, some, version) => {
        expect(peer(encodeSuback(messageId, some, version), version)).toMatchObject({
          cmd: "suback",
          messageId,
          granted: some.map((code) => (version < 5 && code > 0x80 ? 0x80 : code)),
        });
        const gone = some.map((code) => (code < 0x80 || code > 0x90 ? 0 : code));
        expect(peer(encodeUnsuback(messageId, gone, version), version)).toMatchObject({ cmd: "unsuback", messageId });
      }),
    );
    fc.assert(
      fc.property(
        fc.constantFrom(...reasons),
        fc.option(text, { nil: undefined }),
        fc.nat(60),
        (reason, said, most) => {
          const bytes = encodeDisconnect(reason, { reasonString: said }, most);
          const told = peer(bytes, 5);
          expect(told["cmd"]).toBe("disconnect");
          expect(isLegalReason("serverDisconnect", told["reasonCode"] as number)).toBe(true);
        },
      ),
    );
  });

  it("SUBSCRIBE, UNSUBSCRIBE, CONNECT and DISCONNECT of the peer are read as it wrote them", () => {
    const filters = fc.array(
      fc.record({
        topic: fc.string({ unit: "grapheme", maxLength: 12 }).filter((one) => !one.includes("\0")),
        qos: fc.constantFrom<0 | 1 | 2>(0, 1, 2),
        nl: fc.constant(false),
        rap: fc.boolean(),
        rh: fc.constantFrom<0 | 1 | 2>(0, 1, 2),
      }),
      { minLength: 1, maxLength: 8 },
    );
    fc.assert(
      fc.property(
        packetIds,
        filters,
        fc.option(fc.integer({ min: 1, max: 268_435_455 })),
        versions,
        (id, some, identifier, version) => {
          const subscribe = { cmd: "subscribe", messageId: id, subscriptions: some } as Record<string, unknown>;
          if (version === 5 && identifier !== null) subscribe["properties"] = { subscriptionIdentifier: identifier };
          const bytes = mqttPacket.generate(subscribe as unknown as Packet, { protocolVersion: version });
          expect(read([bytes], version).packets).toMatchObject([
            {
              packetId: id,
              subscriptionId: version === 5 ? (identifier ?? undefined) : undefined,
              subscriptions: some.map(({ topic, qos, rap, rh }) => ({
                filter: topic,
                qos,
                noLocal: false,
                retainAsPublished: version === 5 && rap,
                retainHandling: version === 5 ? rh : 0,
              })),
            },
          ]);
          const unsubscriptions = some.map(({ topic }) => topic);
          const leaving = { cmd: "unsubscribe", messageId: id, unsubscriptions } as unknown as Packet;
          expect(read([mqttPacket.generate(leaving, { protocolVersion: version })], version).packets).toEqual([
            { packetId: id, filters: unsubscriptions },
          ]);
        },
      ),
      { numRuns: 500 },
    );
    const connects = fc.record({
      clientId: fc.string({ unit: "grapheme", minLength: 1, maxLength: 8 }).filter((one) => !one.includes("\0")),
      clean: fc.boolean(),
      keepalive: fc.nat(65_535),
      username: fc.option(text, { nil: undefined }),
      will: fc.option(
        fc.record({
          topic: text,
          payload: fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
          qos: fc.constantFrom<0 | 1 | 2>(0, 1, 2),
          retain: fc.boolean(),
        }),
        { nil: undefined },
      ),
    });
    fc.assert(
      fc.property(
        connects,
        versions,
        fc.record({ sessionExpiryInterval: seconds, receiveMaximum: packetIds }),
        (connect, version, properties) => {
          const { will, username, ...rest } = connect;
          const whole = {
            cmd: "connect",
            protocolId: version === 3 ? "MQIsdp" : "MQTT",
            protocolVersion: version,
            ...rest,
            ...(username !== undefined && { username }),
            ...(will && { will }),
            ...(version === 5 && { properties }),
          };
          const bytes = mqttPacket.generate(whole as Packet, { protocolVersion: version });
          const [got] = read([bytes], version).packets as Record<string, unknown>[];
          expect(got).toMatchObject({
            version,
            clientId: connect.clientId,
            cleanStart: connect.clean,
            keepAliveSeconds: connect.keepalive,
            username,
            sessionExpirySeconds: version === 5 ? properties.sessionExpiryInterval : undefined,
            receiveMaximum: version === 5 ? properties.receiveMaximum : undefined,
          });
          if (will) expect(got?.["will"]).toMatchObject({ ...will, payload: hex(will.payload) });
          else expect(got?.["will"]).toBeUndefined();
        },
      ),
      { numRuns: 500 },
    );
  });
});
