import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { filterMatches } from "../../src/mqtt/topic.ts";
import { TopicSet } from "../../src/mqtt/topic-set.ts";

const covers = (wide: string, narrow: string): boolean => new TopicSet(wide).covers(new TopicSet(narrow));
const overlaps = (one: string, another: string): boolean => new TopicSet(one).overlaps(new TopicSet(another));

/** All sequences of one to `longest` of these. */
function sequences(of: readonly string[], longest: number): string[][] {
  const found: string[][] = of.map((level) => [level]);
  for (let at = 0; at < found.length; at++) {
    if (found[at]!.length < longest) found.push(...of.map((level) => [...found[at]!, level]));
  }
  return found;
}

/**
 * Filters of up to three levels, and topics of one level more that have a level, `c`, which no filter has: what a wildcard
 * matches beyond all that is named shows there.
 */
const LEVELS = ["", "$x", "a", "b"];
const FILTERS = sequences([...LEVELS, "+", "#"], 3)
  .filter((levels) => !levels.slice(0, -1).includes("#"))
  .map((levels) => levels.join("/"))
  .filter((filter) => filter !== "");
const TOPICS = sequences([...LEVELS, "c"], 4)
  .map((levels) => levels.join("/"))
  .filter((topic) => topic !== "");
const MATCHED = new Map(FILTERS.map((filter) => [filter, TOPICS.filter((topic) => filterMatches(filter, topic))]));

describe("a filter covers another", () => {
  it.each([
    ["#", "a/b", true],
    ["#", "+/#", true],
    ["+/#", "#", true],
    ["/+/#", "/#", true],
    ["a/#", "a", true],
    ["a/#", "a/", true],
    ["a/#", "a/+/#", true],
    ["a/+", "a/", true],
    ["a/+", "a/b", true],
    ["+", "+", true],
    ["$SYS/#", "$SYS/broker/+", true],
    ["a/+", "a/$b", true],
    ["a/#", "#", false],
    ["a/+", "a/#", false],
    ["a/+/#", "a/#", false],
    ["a/+", "a", false],
    ["a/b", "a/+", false],
    ["a/#", "+/b", false],
    ["/+", "+", false],
    ["+", "/", false],
  ])("§4.7.1 %s and %s: %s", (wide, narrow, expected) => {
    expect(covers(wide, narrow)).toBe(expected);
  });

  it.each([
    ["#", "$SYS/#"],
    ["#", "$SYS"],
    ["+/#", "$SYS/a"],
    ["+/a", "$SYS/a"],
    ["+", "$SYS"],
  ])("[MQTT-4.7.2-1] %s does not cover %s, nor meets it", (wide, narrow) => {
    expect([covers(wide, narrow), overlaps(wide, narrow), overlaps(narrow, wide)]).toEqual([false, false, false]);
  });
});

describe("two filters overlap", () => {
  it.each([
    ["a/+", "+/b", true],
    ["a/#", "+/b/#", true],
    ["a/#", "+", true],
    ["a/b/#", "a/b", true],
    ["#", "/", true],
    ["a/+/c", "a/b/+", true],
    ["a/#", "b/#", false],
    ["a/+", "a", false],
    ["a/+", "+/b/c", false],
    ["a/b/#", "+", false],
    ["/#", "+", false],
    ["a", "A", false],
  ])("§4.7.1 %s and %s: %s", (one, another, expected) => {
    expect(overlaps(one, another)).toBe(expected);
    expect(overlaps(another, one)).toBe(expected);
  });
});

it("both are exact: every pair of filters of up to three levels, against all topics", () => {
  const wrong: string[] = [];
  for (const [one, matched] of MATCHED) {
    const set = new TopicSet(one);
    for (const [another, others] of MATCHED) {
      const other = new TopicSet(another);
      if (set.covers(other) !== others.every((topic) => filterMatches(one, topic))) wrong.push(`${one} ⊇ ${another}`);
      if (set.overlaps(other) !== matched.some((topic) => filterMatches(another, topic))) {
        wrong.push(`${one} ∩ ${another}`);
      }
    }
  }
  expect(wrong).toEqual([]);
});

describe("filters of any depth", () => {
  const level = fc.constantFrom("", "$x", "a", "b", "+");
  const filters = fc
    .tuple(fc.array(level, { maxLength: 6 }), fc.boolean())
    .map(([levels, open]) => [...levels, ...(open ? ["#"] : [])].join("/"))
    .filter((filter) => filter !== "");
  const topics = fc
    .array(fc.constantFrom("", "$x", "a", "b", "c"), { minLength: 1, maxLength: 7 })
    .map((levels) => levels.join("/"))
    .filter((topic) => topic !== "");

  it("what is covered is matched by the wider one, and what both match is an overlap", () => {
    fc.assert(
      fc.property(filters, filters, topics, (one, another, topic) => {
        if (!filterMatches(another, topic)) return;
        if (covers(one, another)) expect(filterMatches(one, topic)).toBe(true);
        if (filterMatches(one, topic)) expect(overlaps(one, another)).toBe(true);
      }),
      { numRuns: 20_000 },
    );
  });

  it("a topic is the set of itself", () => {
    fc.assert(
      fc.property(filters, topics, (filter, topic) => {
        expect(covers(filter, topic)).toBe(filterMatches(filter, topic));
        expect(overlaps(filter, topic)).toBe(filterMatches(filter, topic));
      }),
      { numRuns: 5000 },
    );
  });

  it("covering is an order: of itself, and through a third", () => {
    fc.assert(
      fc.property(filters, filters, filters, (one, two, three) => {
        expect(covers(one, one)).toBe(true);
        if (covers(one, two) && covers(two, three)) expect(covers(one, three)).toBe(true);
        if (covers(one, two)) expect(overlaps(one, two)).toBe(true);
      }),
      { numRuns: 5000 },
    );
  });
});
