import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FrameReader } from "../../src/mqtt/frame.ts";
import { EMPTY, type Qos } from "../../src/mqtt/packet.ts";
import { encodePublish, packetIdPosition, publishLength, readPublish, writePublish } from "../../src/mqtt/publish.ts";
import { TopicCache } from "../../src/mqtt/topic-cache.ts";
import { encodeUtf8 } from "../../src/mqtt/utf8.ts";
import { hex, packet } from "./notation.ts";

const limits = { topicBytesMax: 65_535, topicLevelsMax: 65_535 };

function frameOf(bytes: Uint8Array): FrameReader {
  const reader = new FrameReader(bytes.length);
  reader.push(bytes);
  expect(reader.next()).toBe(true);
  return reader;
}

const topics = fc.string({ unit: "grapheme", minLength: 1, maxLength: 60 }).filter((topic) => !/[\0+#]/.test(topic));
const forwarded = fc
  .array(fc.constantFrom("26 'k' 'v'", "26 'b' ''", "26 '' 'é'"), { maxLength: 40 })
  .chain((user) =>
    fc.constantFrom("", "01 01", "03 'text'", "08 'r' 09 [ 00 ]").map((rest) => packet(`${rest} ${user.join(" ")}`)),
  );

const outgoing = fc.record({
  version: fc.constantFrom(3 as const, 4 as const, 5 as const),
  qos: fc.constantFrom<Qos>(0, 1, 2),
  retain: fc.boolean(),
  dup: fc.boolean(),
  packetId: fc.integer({ min: 1, max: 65_535 }),
  topic: topics,
  expirySeconds: fc.option(fc.nat(0xffffffff), { nil: undefined }),
  properties: forwarded,
  payload: fc.uint8Array({ maxLength: 300 }),
});

describe("PUBLISH", () => {
  it("survives the round trip", () => {
    const cache = new TopicCache(2);
    fc.assert(
      fc.property(outgoing, (message) => {
        const dup = message.dup && message.qos > 0;
        const packetBytes = encodePublish({ ...message, dup, topic: encodeUtf8(message.topic), subscriptionIds: [] });
        for (const topicCache of [undefined, cache]) {
          const read = readPublish(frameOf(packetBytes), message.version, limits, topicCache);
          expect({ ...read, properties: hex(read.properties), payload: hex(read.payload) }).toEqual({
            dup,
            qos: message.qos,
            retain: message.retain,
            packetId: message.qos > 0 ? message.packetId : 0,
            topic: message.topic,
            alias: 0,
            expirySeconds: message.version === 5 ? message.expirySeconds : undefined,
            properties: message.version === 5 ? hex(message.properties) : "",
            text: (message.version === 5 && hex(message.properties).startsWith("0101")) || undefined,
            payload: hex(message.payload),
          });
        }
      }),
      { numRuns: 500 },
    );
  });

  it("is written in place as it is written alone, and says where it ends", () => {
    fc.assert(
      fc.property(
        outgoing,
        fc.array(fc.integer({ min: 1, max: 268_435_455 }), { maxLength: 4 }),
        (message, subscriptionIds) => {
          const one = { ...message, topic: encodeUtf8(message.topic), subscriptionIds };
          const alone = encodePublish(one);
          const bytes = new Uint8Array(alone.length + 10).fill(0xee);
          expect(writePublish(bytes, 5, one)).toBe(5 + alone.length);
          expect(publishLength(one)).toBe(alone.length);
          expect(hex(bytes)).toBe(`eeeeeeeeee${hex(alone)}eeeeeeeeee`);
        },
      ),
    );
  });

  it("[MQTT-2.2.1-4] its identifier can be patched for another subscriber", () => {
    fc.assert(
      fc.property(outgoing, (message) => {
        const topic = encodeUtf8(message.topic);
        const one = { ...message, qos: 1 as const, topic, subscriptionIds: [] };
        const bytes = encodePublish(one);
        const at = packetIdPosition(topic.length, bytes);
        bytes[at] = 0xab;
        bytes[at + 1] = 0xcd;
        expect(hex(bytes)).toBe(hex(encodePublish({ ...one, packetId: 0xabcd })));
      }),
    );
  });

  it("payload and contiguous properties are views, nothing else is copied", () => {
    const frame = frameOf(packet("30 ( 'a' ( 02 00000001 26 'k' 'v' ) 0102 )"));
    const read = readPublish(frame, 5, limits);
    expect(read.payload.buffer).toBe(frame.bytes.buffer);
    expect(read.properties.buffer).toBe(frame.bytes.buffer);
  });

  it("[§2.1.4] what no packet can hold is our mistake, not the peer's", () => {
    const message = {
      version: 4,
      qos: 0,
      dup: false,
      retain: false,
      packetId: 0,
      expirySeconds: undefined,
      subscriptionIds: [],
    } as const;
    const none = { ...message, properties: EMPTY, payload: EMPTY };
    expect(() => encodePublish({ ...none, topic: new Uint8Array(65_536) })).toThrow(RangeError);
    expect(encodePublish({ ...none, topic: new Uint8Array(65_535) }).length).toBe(1 + 3 + 2 + 65_535);
  });
});
