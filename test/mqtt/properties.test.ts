import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PacketType } from "../../src/mqtt/packet.ts";
import {
  properties,
  PropertyId,
  readVarint,
  varintLength,
  walkProperties,
  WILL,
  writeVarint,
  type PropertyContext,
} from "../../src/mqtt/properties.ts";
import { MqttError, Reason } from "../../src/mqtt/reason.ts";
import { packet } from "./notation.ts";

const malformed = expect.objectContaining({ reason: Reason.MalformedPacket });
const protocolError = expect.objectContaining({ reason: Reason.ProtocolError });

const contexts: PropertyContext[] = [WILL, ...Object.values(PacketType)];

const samples = {
  byte: "01",
  "two bytes": "0001",
  "four bytes": "00000001",
  varint: "01",
  string: "'s'",
  pair: "'k' 'v'",
  binary: "[ 00 ]",
};

function walk(notation: string, context: PropertyContext): number {
  const bytes = packet(notation);
  return walkProperties(bytes, 0, bytes.length, context);
}

describe("variable byte integers", () => {
  it("[MQTT-1.5.5-1] survive the round trip in the least number of bytes", () => {
    fc.assert(
      fc.property(fc.nat(268_435_455), fc.nat(3), (value, offset) => {
        const bytes = new Uint8Array(8);
        const end = writeVarint(bytes, offset, value);
        expect(end - offset).toBe(varintLength(value));
        expect(readVarint(bytes, offset, end)).toBe(value);
        expect(() => readVarint(bytes, offset, end - 1)).toThrow(malformed);
      }),
    );
  });

  it.each([
    [127, "7f"],
    [128, "8001"],
    [16_383, "ff7f"],
    [16_384, "808001"],
    [2_097_151, "ffff7f"],
    [2_097_152, "80808001"],
    [268_435_455, "ffffff7f"],
  ])("[§1.5.5] %i is %s", (value, notation) => {
    const bytes = packet(notation);
    expect(readVarint(bytes, 0, bytes.length)).toBe(value);
    expect(varintLength(value)).toBe(bytes.length);
  });

  it.each(["", "80", "ffffff", "8000", "ff8000", "80808080", "8080808001"])("[MQTT-1.5.5-1] %j is none", (notation) => {
    const bytes = packet(notation);
    expect(() => readVarint(bytes, 0, bytes.length)).toThrow(malformed);
  });
});

describe("properties", () => {
  it("[§2.2.2.2] are 27, each with its own identifier", () => {
    expect(new Set(properties.map((property) => property.id))).toEqual(new Set(Object.values(PropertyId)));
    expect(properties.length).toBe(27);
  });

  it("[§2.2.2.2] stand only where table 2-4 allows them", () => {
    for (const property of properties) {
      for (const context of contexts) {
        const one = `( ${property.id.toString(16).padStart(2, "0")} ${samples[property.wire]} )`;
        if (property.contexts.includes(context)) expect(walk(one, context)).toBe(packet(one).length);
        else expect(() => walk(one, context), `${property.name} in ${context}`).toThrow(malformed);
      }
    }
  });

  it("[§2.2.2.2] stand once, except user properties", () => {
    for (const property of properties) {
      const one = `${property.id.toString(16).padStart(2, "0")} ${samples[property.wire]}`;
      const twice = (): number => walk(`( ${one} ${one} )`, property.contexts[0] ?? WILL);
      if (property.id === PropertyId.UserProperty) expect(twice).not.toThrow();
      else expect(twice, property.name).toThrow(protocolError);
    }
  });

  it("[§2.2.2.1] never reach beyond their section, wherever it ends", () => {
    for (const property of properties) {
      const whole = packet(`${property.id.toString(16).padStart(2, "0")} ${samples[property.wire]}`);
      for (let length = 1; length < whole.length; length++) {
        const bytes = Uint8Array.of(length, ...whole);
        expect(() => walkProperties(bytes, 0, bytes.length, property.contexts[0] ?? WILL), property.name).toThrow(
          malformed,
        );
      }
    }
  });

  it("[§] values out of range are protocol errors", () => {
    expect(() => walk("( 21 0000 )", PacketType.CONNECT)).toThrow(protocolError);
    expect(() => walk("( 24 02 )", PacketType.CONNACK)).toThrow(protocolError);
    expect(() => walk("( 25 ff )", PacketType.CONNACK)).toThrow(protocolError);
    expect(() => walk("( 23 0000 )", PacketType.PUBLISH)).toThrow(
      expect.objectContaining({ reason: Reason.TopicAliasInvalid }),
    );
  });

  it("any bytes are walked to their end or refused", () => {
    const likely = fc.constantFrom(...properties.map((property) => property.id), 0, 1, 2, 0x61);
    fc.assert(
      fc.property(
        fc.array(fc.oneof(likely, fc.nat(255)), { maxLength: 30 }),
        fc.constantFrom(...contexts),
        (body, context) => {
          const bytes = Uint8Array.of(body.length, ...body);
          try {
            expect(walkProperties(bytes, 0, bytes.length, context)).toBe(bytes.length);
          } catch (error) {
            expect(error).toBeInstanceOf(MqttError);
          }
        },
      ),
      { numRuns: 3000 },
    );
  });
});
