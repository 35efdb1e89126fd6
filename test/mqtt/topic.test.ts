import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Reason } from "../../src/mqtt/reason.ts";
import { TopicCache } from "../../src/mqtt/topic-cache.ts";
import {
  filterMatches,
  hasWildcard,
  parseShare,
  validateTopicFilter,
  validateTopicName,
} from "../../src/mqtt/topic.ts";
import { encodeUtf8 } from "../../src/mqtt/utf8.ts";

const limits = { topicBytesMax: 20, topicLevelsMax: 4 };
const invalidName = expect.objectContaining({ reason: Reason.TopicNameInvalid });
const invalidFilter = expect.objectContaining({ reason: Reason.TopicFilterInvalid });

/** The specification's words, level by level. */
function matchesNaively(filter: string, topic: string): boolean {
  const wanted = filter.split("/");
  const levels = topic.split("/");
  if (topic.startsWith("$") && (wanted[0] === "+" || wanted[0] === "#")) return false;
  if (wanted.at(-1) === "#") {
    wanted.pop();
    if (levels.length < wanted.length) return false;
    levels.length = wanted.length;
  }
  return wanted.length === levels.length && wanted.every((level, at) => level === "+" || level === levels[at]);
}

describe("topic names", () => {
  it.each(["/", "//", "a", "a/b", " ", "$SYS", "$share/g/a", "é/日", "a/b/c/d"])(
    "[MQTT-4.7.3-1] %j is one",
    (topic) => {
      expect(() => validateTopicName(topic, limits)).not.toThrow();
    },
  );

  it.each(["", "#", "+", "a/#", "a+", "a\0b", "a/b/c/d/e", "123456789012345678901", "日本語日本語日"])(
    "[MQTT-3.3.2-2] [MQTT-4.7.3-2] %j is none, or not with our limits",
    (topic) => {
      expect(() => validateTopicName(topic, limits)).toThrow(invalidName);
    },
  );

  it("[MQTT-4.7.3-3] the limit counts bytes of UTF-8", () => {
    expect(() => validateTopicName("12345678901234567890", limits)).not.toThrow();
    expect(() => validateTopicName("日本語日本語ab", limits)).not.toThrow();
    expect(() => validateTopicName("日本語日本語abc", limits)).toThrow(invalidName);
  });
});

describe("topic filters", () => {
  it.each([
    "#",
    "+",
    "/#",
    "+/#",
    "a/+/b",
    "+/+",
    "/+",
    "a/#",
    "$SYS/#",
    "$share",
    "$share/g/#",
    "$share/g/a/b/c/d",
    "$share/é//",
  ])("[MQTT-4.7.1-1] [MQTT-4.7.1-2] %j is one", (filter) => {
    expect(() => validateTopicFilter(filter, limits)).not.toThrow();
  });

  it.each([
    "",
    "a#",
    "#/a",
    "##",
    "a/#/b",
    "a+",
    "+a",
    "a/+b",
    "++",
    "#+",
    "+#",
    "a/b#",
    "a\0",
    "a/b/c/d/e",
    "123456789012345678901",
  ])("[MQTT-4.7.1-1] [MQTT-4.7.1-2] %j is none, or not with our limits", (filter) => {
    expect(() => validateTopicFilter(filter, limits)).toThrow(invalidFilter);
  });

  it.each(["$share/", "$share//a", "$share/g", "$share/g/", "$share/+/a", "$share/g#/a", "$share/#", "$share/g/a#"])(
    "[MQTT-4.8.2-1] [MQTT-4.8.2-2] %j shares nothing",
    (filter) => {
      expect(() => validateTopicFilter(filter, limits)).toThrow(invalidFilter);
    },
  );

  it("[MQTT-4.8.2-1] a shared filter has a group and a filter", () => {
    expect(parseShare("$share/g/a/#")).toEqual({ group: "g", filter: "a/#" });
    expect(parseShare("$share/g//")).toEqual({ group: "g", filter: "/" });
    expect(parseShare("$share")).toBeUndefined();
    expect(parseShare("$shared/g/a")).toBeUndefined();
    expect(parseShare("a/$share/g")).toBeUndefined();
  });

  it("hasWildcard", () => {
    expect([hasWildcard("a/b"), hasWildcard("a/+"), hasWildcard("#")]).toEqual([false, true, true]);
  });
});

describe("matching", () => {
  it.each([
    ["§4.7.1.2", "sport/#", "sport", true],
    ["§4.7.1.2", "sport/#", "sport/", true],
    ["§4.7.1.2", "sport/#", "sports", false],
    ["§4.7.1.2", "#", "a/b/c", true],
    ["§4.7.1.3", "sport/+", "sport", false],
    ["§4.7.1.3", "sport/+", "sport/", true],
    ["§4.7.1.3", "sport/+", "sport/a/b", false],
    ["§4.7.1.3", "+/+", "/finance", true],
    ["§4.7.1.3", "/+", "/finance", true],
    ["§4.7.1.3", "+", "/finance", false],
    ["§4.7.1.3", "+/#", "a", true],
    ["MQTT-4.7.2-1", "#", "$SYS/a", false],
    ["MQTT-4.7.2-1", "+/a", "$SYS/a", false],
    ["MQTT-4.7.2-1", "$SYS/#", "$SYS/a", true],
    ["MQTT-4.7.2-1", "$SYS/+", "$SYS/a", true],
    ["MQTT-4.7.2-1", "a/+", "a/$b", true],
    ["MQTT-4.7.3-4", "a/", "a", false],
    ["MQTT-4.7.3-4", "A", "a", false],
  ] as const)("[%s] %s and %s: %s", (_, filter, topic, matches) => {
    expect(filterMatches(filter, topic)).toBe(matches);
    expect(matchesNaively(filter, topic)).toBe(matches);
  });

  it("agrees with a match level by level", () => {
    const level = fc.constantFrom("", "a", "b", "ab", "$a");
    const topics = fc
      .array(level, { minLength: 1, maxLength: 4 })
      .map((levels) => levels.join("/"))
      .filter((t) => t !== "");
    const filters = fc
      .tuple(fc.array(fc.oneof(level, fc.constant("+")), { maxLength: 4 }), fc.boolean())
      .map(([levels, all]) => [...levels, ...(all ? ["#"] : [])].join("/"))
      .filter((filter) => filter !== "");
    fc.assert(
      fc.property(filters, topics, (filter, topic) => {
        expect(filterMatches(filter, topic)).toBe(matchesNaively(filter, topic));
      }),
      { numRuns: 5000 },
    );
  });
});

describe("the topic cache", () => {
  const read = (cache: TopicCache, topic: string, within = limits): string => {
    const bytes = encodeUtf8(`xx${topic}yy`);
    return cache.read(bytes, 2, bytes.length - 2, within);
  };

  it("reads what readTopic reads, however often topics collide", () => {
    const topic = fc.string({ unit: fc.constantFrom("a", "b", "/", "é"), minLength: 1, maxLength: 9 });
    fc.assert(
      fc.property(fc.array(topic, { maxLength: 60 }), (topics) => {
        const cache = new TopicCache(4);
        for (const one of topics) expect(read(cache, one, { topicBytesMax: 99, topicLevelsMax: 99 })).toBe(one);
      }),
    );
  });

  it("does not remember refusals, nor answer for other limits", () => {
    const cache = new TopicCache(1);
    expect(() => read(cache, "a/b/+/d")).toThrow(invalidName);
    expect(read(cache, "a/b/c/d")).toBe("a/b/c/d");
    expect(() => read(cache, "a/b/c/d", { topicBytesMax: 3, topicLevelsMax: 4 })).toThrow(invalidName);
  });

  it("holds no reference to the bytes that it was shown", () => {
    const cache = new TopicCache(1);
    const bytes = encodeUtf8("abcdef");
    cache.read(bytes, 0, 6, limits);
    bytes[0] = 0x7a;
    expect(cache.read(bytes, 0, 6, limits)).toBe("zbcdef");
  });
});
