import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MqttError, Reason } from "../../src/mqtt/reason.ts";
import { decodeUtf8, encodeUtf8, utf8Length, validateUtf8 } from "../../src/mqtt/utf8.ts";
import { packet } from "./notation.ts";

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function expected(bytes: Uint8Array): string | undefined {
  try {
    const text = strict.decode(bytes);
    return text.includes("\0") ? undefined : text;
  } catch {
    return undefined;
  }
}

function decoded(bytes: Uint8Array): string | undefined {
  try {
    return decodeUtf8(bytes, 0, bytes.length);
  } catch (error) {
    if (error instanceof MqttError && error.reason === Reason.MalformedPacket) return undefined;
    throw error;
  }
}

/** Bytes near the edges of the encoding, which bytes at random would seldom meet. */
const edges = fc.constantFrom(
  ..."00 01 7f 80 bf c0 c1 c280 dfbf e0a080 e09fbf ed9fbf eda080 ee8080 efbbbf efbfbf f0908080 f08fbfbf".split(" "),
  ..."f48fbfbf f4908080 f5 ff 61 6162636465666768".split(" "),
);

describe("UTF-8", () => {
  it("[MQTT-1.5.4-1] [MQTT-1.5.4-2] is accepted exactly when a strict TextDecoder accepts it and it has no U+0000", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 12 }), (bytes) => {
        expect(decoded(bytes)).toBe(expected(bytes));
      }),
      { numRuns: 3000 },
    );
    fc.assert(
      fc.property(fc.array(edges, { maxLength: 24 }), (parts) => {
        const bytes = packet(parts.join(" "));
        expect(decoded(bytes)).toBe(expected(bytes));
      }),
      { numRuns: 3000 },
    );
  });

  it("[MQTT-1.5.4-1] all sequences of two bytes, and of three with a lead of three", () => {
    for (let lead = 0; lead < 256; lead++) {
      for (let second = 0; second < 256; second++) {
        const two = Uint8Array.of(lead, second);
        if (decoded(two) !== expected(two)) throw new Error(`${lead} ${second}`);
        const three = Uint8Array.of(lead, second, 0x80);
        if (decoded(three) !== expected(three)) throw new Error(`${lead} ${second} 128`);
      }
    }
  });

  it("survives the round trip, whatever its length and position", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 90 }), fc.nat(5), (text, offset) => {
        fc.pre(!text.includes("\0"));
        const utf8 = encodeUtf8(text);
        const bytes = new Uint8Array(offset + utf8.length + 3).fill(0xff);
        bytes.set(utf8, offset);
        expect(decodeUtf8(bytes, offset, offset + utf8.length)).toBe(text);
        expect(() => validateUtf8(bytes, offset, offset + utf8.length)).not.toThrow();
        expect(utf8Length(text)).toBe(utf8.length);
      }),
    );
  });

  it("utf8Length counts lone surrogates as the replacement that encodeUtf8 writes", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(utf8Length(text)).toBe(encodeUtf8(text).length);
      }),
    );
    for (const text of ["\ud800", "\udc00a", "a\ud800\ud800\udc00"])
      expect(utf8Length(text)).toBe(encodeUtf8(text).length);
  });

  it("[MQTT-1.5.4-3] keeps a leading BOM, short and long", () => {
    expect(decodeUtf8(packet("efbbbf 61"), 0, 4)).toBe("\ufeffa");
    expect(decodeUtf8(packet("efbbbf 61*60"), 0, 63)).toBe(`\ufeff${"a".repeat(60)}`);
  });

  it("a character may not continue behind the end of its string", () => {
    expect(() => decodeUtf8(packet("61 c3 a9"), 0, 2)).toThrow(MqttError);
  });
});
