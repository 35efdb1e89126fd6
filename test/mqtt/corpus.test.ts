import mqttPacket, { type Packet } from "mqtt-packet";
import { describe, expect, it } from "vitest";
import { encodeAck, type Ack, type AckType } from "../../src/mqtt/ack.ts";
import { FrameReader } from "../../src/mqtt/frame.ts";
import { PacketType, type ProtocolVersion } from "../../src/mqtt/packet.ts";
import { encodePublish, type Publish } from "../../src/mqtt/publish.ts";
import { MqttError, Reason } from "../../src/mqtt/reason.ts";
import type { InboundCase } from "./corpus-case.ts";
import { inboundCases } from "./corpus.ts";
import { outboundCases } from "./corpus-outbound.ts";
import { decode, decodeAll } from "./decode.ts";
import { hex, packet, shown } from "./notation.ts";

const inbound = inboundCases();
const title = (one: { version: ProtocolVersion; rule: string; what: string; packet: string }): string =>
  `[${one.rule}] v${one.version} ${one.what}: ${one.packet.slice(0, 80)}`;

function parse(bytes: Uint8Array, version: ProtocolVersion): Packet {
  const parser = mqttPacket.parser({ protocolVersion: version });
  const found: Packet[] = [];
  parser.on("packet", (one) => found.push(one));
  parser.on("error", (error) => {
    throw error;
  });
  parser.parse(Buffer.from(bytes));
  expect(found).toHaveLength(1);
  return found[0]!;
}

function reencode(decoded: unknown, bytes: Uint8Array, version: ProtocolVersion): Uint8Array {
  const type = bytes[0]! >> 4;
  if (type === PacketType.PUBLISH) {
    const publish = decoded as Publish;
    const topic = new TextEncoder().encode(publish.topic);
    return encodePublish({ ...publish, version, topic, subscriptionIds: [] });
  }
  if (type >= PacketType.PUBACK && type <= PacketType.PUBCOMP) {
    const ack = decoded as Ack;
    return encodeAck(type as AckType, ack.packetId, version, ack.reason);
  }
  return mqttPacket.generate(parse(bytes, version), { protocolVersion: version });
}

describe("packets from a client", () => {
  it("are at least 150 in the corpus, each once", () => {
    expect(inbound.length).toBeGreaterThanOrEqual(150);
    expect(new Set(inbound.map((one) => `${one.version} ${one.packet}`)).size).toBe(inbound.length);
  });

  it.each(inbound.map((one) => [title(one), one] as const))("%s", (_, one) => {
    const bytes = packet(one.packet);
    const decodeWhole = (): unknown => decodeAll([bytes], () => one.version)[0];
    if ("reason" in one.expected) {
      expect(decodeWhole).toThrow(MqttError);
      expect(decodeWhole).toThrow(expect.objectContaining({ reason: Reason[one.expected.reason] }));
      return;
    }
    const decoded = decodeWhole();
    expect(shown(decoded)).toMatchObject(one.expected.value);

    const alias = (decoded as Partial<Publish>).alias ?? 0; // Ours never has one.
    if (one.notRegenerated !== true && alias === 0) {
      const again = reencode(decoded, bytes, one.version);
      expect(shown(decodeAll([again], () => one.version)[0])).toEqual(shown(decoded));
    }

    // [MQTT-6.0.0-2]
    const step = Math.max(1, Math.floor(bytes.length / 400));
    for (let cut = 1; cut < bytes.length; cut += step) {
      const split = decodeAll([bytes.slice(0, cut), bytes.slice(cut)], () => one.version);
      expect(shown(split)).toEqual([shown(decoded)]);
    }
    if (bytes.length < 2000) {
      const single = decodeAll(
        Array.from(bytes, (byte) => Uint8Array.of(byte)),
        () => one.version,
      );
      expect(shown(single)).toEqual([shown(decoded)]);
    }
  });

  it("[MQTT-6.0.0-2] decode from one chunk that holds them all", () => {
    const good = inbound.filter((one): one is InboundCase & { expected: { value: object } } => "value" in one.expected);
    const together = Buffer.concat(good.map((one) => packet(one.packet)));
    const decoded = decodeAll([new Uint8Array(together)], (index) => good[index]!.version);
    expect(decoded).toHaveLength(good.length);
    for (const [index, one] of good.entries()) expect(shown(decoded[index])).toMatchObject(one.expected.value);
  });

  it("are refused as such when cut short at any byte, never by another error", () => {
    for (const one of inbound) {
      const bytes = packet(one.packet).slice(0, 300);
      const reader = new FrameReader(1000);
      try {
        reader.push(bytes);
        if (!reader.next()) continue;
      } catch {
        continue;
      }
      for (let end = reader.body; end < reader.end; end++) {
        try {
          const { type, flags, start, body } = reader;
          decode({ type, flags, start, body, end, bytes: bytes.slice(0, end) }, one.version);
        } catch (error) {
          expect(error, `${one.packet} cut at ${end}`).toBeInstanceOf(MqttError);
        }
      }
    }
  });
});

describe("packets from us", () => {
  it.each(outboundCases().map((one) => [title(one), one] as const))("%s", (_, one) => {
    expect(one.bytes && hex(one.bytes)).toBe(hex(packet(one.packet)));
    expect(one.bytes?.constructor).toBe(Uint8Array);
    expect(shown(parse(one.bytes!, one.version))).toMatchObject(one.parsed);
  });
});
