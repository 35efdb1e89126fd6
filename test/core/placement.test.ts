import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Placement, shardOfTopic, shardsOfFilter } from "../../src/core/shard/placement.ts";

/** The matching rules once more, as a regular expression, to compare with. */
function matches(filter: string, topic: string): boolean {
  if (topic.startsWith("$") && /^[+#]/.test(filter)) return false;
  const levels = filter.split("/").map((level) => {
    if (level === "+") return "/[^/]*";
    if (level === "#") return "(/.*)?";
    return `/${level.replaceAll("$", "\\$")}`;
  });
  return new RegExp(`^${levels.join("")}$`, "s").test(`/${topic}`);
}

const placements = fc.record({ shards: fc.integer({ min: 1, max: 9 }), depth: fc.integer({ min: 1, max: 5 }) });
// Few names, so that filters often match; empty levels and a `$` name among them.
const name = fc.constantFrom("", "a", "b", "é", "😀", "$a");
const levels = fc.array(name, { minLength: 1, maxLength: 6 });
const topics = levels.map((all) => all.join("/")).filter((topic) => topic !== "");
/** A filter made of a topic, so that it matches it most of the time. */
const cases = fc.tuple(levels, fc.infiniteStream(fc.integer({ min: 0, max: 3 })), fc.nat(7)).map(([all, dice, cut]) => {
  const filter = all.map((level): string => (dice.next().value === 0 ? "+" : level));
  if (cut <= all.length) filter.splice(cut, Infinity, "#");
  return { topic: all.join("/"), filter: filter.join("/") };
});

describe("shardOfTopic", () => {
  // Stored rows depend on these numbers. They were computed by another program (Python, with integers of any size) from
  // the description in placement.ts. A change here is a change of where every stored message is.
  test.each<[topic: string, depth: number, of4: number, of7: number, of1000: number]>([
    ["a", 2, 3, 0, 715],
    ["a/b", 2, 2, 5, 842],
    ["a/b/c", 2, 2, 5, 842],
    ["a/c", 2, 1, 6, 249],
    ["a/b/c", 1, 3, 0, 715],
    ["a/b/c", 3, 3, 1, 67],
    ["a/", 2, 2, 1, 202],
    ["/", 2, 0, 5, 28],
    ["/a", 2, 1, 6, 905],
    ["//", 2, 0, 5, 28],
    ["//x", 3, 0, 2, 420],
    ["sport/tennis/player1", 2, 0, 2, 424],
    ["$SYS/broker/load", 2, 3, 1, 7],
    ["Straße/Köln/1", 2, 3, 4, 555],
    ["日本/東京/x", 2, 2, 1, 414],
    ["😀/\u{10ffff}/x", 2, 3, 3, 59],
    ["\uffff/x", 2, 1, 1, 677],
    ["devices/000042/state", 2, 2, 1, 262],
  ])("is frozen: %j by %i levels is on %i of 4, %i of 7, %i of 1000", (topic, depth, of4, of7, of1000) => {
    expect(shardOfTopic(topic, { shards: 4, depth })).toBe(of4);
    expect(shardOfTopic(topic, { shards: 7, depth })).toBe(of7);
    expect(shardOfTopic(topic, { shards: 1000, depth })).toBe(of1000);
    expect(shardOfTopic(topic, { shards: 1, depth })).toBe(0);
  });

  test("looks at the first `depth` levels and at nothing else", () => {
    fc.assert(
      fc.property(topics, topics, placements, (topic, rest, placement) => {
        const start = topic.split("/").slice(0, placement.depth);
        fc.pre(start.length === placement.depth);
        expect(shardOfTopic(`${start.join("/")}/${rest}`, placement)).toBe(shardOfTopic(topic, placement));
      }),
    );
  });

  test("spreads topics evenly, also those that differ by one digit", () => {
    const count = 20_000;
    const shapes: ((i: number) => string)[] = [
      (i) => `devices/${i}/state`,
      (i) => `devices/${String(i).padStart(6, "0")}`,
      (i) => `${i}/devices/state`,
      (i) => `tenant-${i % 100}/room-${Math.floor(i / 100)}/temperature`,
      (i) => `a/${String.fromCharCode(0x4e00 + i)}`,
      (i) => `v1/${(i * 2).toString(16)}`,
    ];
    for (const shape of shapes) {
      for (const shards of [2, 3, 4, 8, 16]) {
        const found = Array<number>(shards).fill(0);
        for (let i = 0; i < count; i++) found[shardOfTopic(shape(i), { shards, depth: 2 })]!++;
        // Five standard deviations of a fair draw: a fair function fails for about one of a million shards.
        const expected = count / shards;
        const tolerance = 5 * Math.sqrt(expected * (1 - 1 / shards));
        for (const there of found)
          expect(Math.abs(there - expected), `${shape(1)} on ${shards}`).toBeLessThan(tolerance);
      }
    }
  });
});

describe("shardsOfFilter", () => {
  const four = (depth: number): Placement => ({ shards: 4, depth });
  const all = [0, 1, 2, 3];

  test.each<[filter: string, depth: number]>([
    ["#", 2],
    ["+", 2],
    ["+/b", 2],
    ["a/#", 2],
    ["a/+", 2],
    ["a/+/c", 2],
    ["/#", 2],
    ["/+", 2],
    ["#", 1],
    ["+/b/c", 1],
    ["a/b/#", 3],
    ["$SYS/#", 2],
    ["$share/group/#", 2],
    ["$share/group/a/#", 2],
    ["$share/group/+/b/c", 1],
  ])("is all shards for %j by %i levels: there is a wildcard among them", (filter, depth) => {
    expect(shardsOfFilter(filter, four(depth))).toEqual(all);
    expect(shardsOfFilter(filter, { shards: 1, depth })).toEqual([0]);
  });

  test.each<[filter: string, depth: number, topic: string]>([
    ["a", 2, "a"],
    ["a/", 2, "a/"],
    ["/", 2, "/"],
    ["a/b", 2, "a/b"],
    ["a/b/c", 2, "a/b/x"],
    ["a/b/#", 2, "a/b"],
    ["a/b/+", 2, "a/b/x"],
    ["a/b/+/#", 2, "a/b/x/y"],
    ["a/#", 1, "a"],
    ["a/+", 1, "a/x"],
    ["/#", 1, "/x"],
    ["$SYS/#", 1, "$SYS/x"],
    ["$share/group/a", 2, "a"],
    ["$share/group/a/b", 2, "a/b"],
    ["$share/group/a/b/#", 2, "a/b/c"],
    ["$share/group//b", 2, "/b"],
    ["$share/other/a/#", 1, "a"],
  ])("is one shard for %j by %i levels: that of topic %j", (filter, depth, topic) => {
    expect(shardsOfFilter(filter, four(depth))).toEqual([shardOfTopic(topic, four(depth))]);
    expect(shardsOfFilter(filter, { shards: 1, depth })).toEqual([0]);
  });

  test("has the shard of every topic that the filter matches", () => {
    let matched = 0;
    fc.assert(
      fc.property(cases, placements, ({ topic, filter }, placement) => {
        if (!matches(filter, topic)) return;
        matched++;
        const shard = shardOfTopic(topic, placement);
        expect(shardsOfFilter(filter, placement)).toContain(shard);
        expect(shardsOfFilter(`$share/group/${filter}`, placement)).toContain(shard);
      }),
      { numRuns: 2_000 },
    );
    expect(matched).toBeGreaterThan(1_000);
  });

  test("is in ascending order without repetition, and never empty", () => {
    fc.assert(
      fc.property(cases, placements, ({ filter }, placement) => {
        const shards = shardsOfFilter(filter, placement);
        expect(shards).toEqual([...new Set(shards)].toSorted((a, b) => a - b));
        expect([1, placement.shards]).toContain(shards.length);
      }),
    );
  });
});
