/** The parts of `npm run bench:scale` that measure nothing. */
import { describe, expect, test } from "vitest";
import { bytes, count, duration, short } from "../../bench/scale/format.ts";
import { meetings, type Weights } from "../../bench/scale/limits.ts";
import { drawChart, placeOf, scaleOf } from "../../bench/scale/plot.ts";

describe("an axis", () => {
  test("spans whole decades, and one at least", () => {
    expect(scaleOf([10_000, 1_000_000])).toMatchObject({ from: 1e4, to: 1e6 });
    expect(scaleOf([0.3, 45_000])).toEqual({ from: 0.1, to: 1e5, marks: [0.1, 1, 10, 100, 1e3, 1e4, 1e5] });
    expect(scaleOf([7])).toEqual({ from: 1, to: 10, marks: [1, 2, 5, 10] });
  });

  test("puts a decade at equal distances", () => {
    const scale = scaleOf([1, 1000]);
    expect([1, 10, 100, 1000].map((value) => Math.round(placeOf(value, scale, 300, 0)))).toEqual([300, 200, 100, 0]);
  });
});

test("a chart has a line and a legend for each series, and every number is one", () => {
  const axis = { label: "a < b", format: short };
  const lines = [
    {
      name: "x & y",
      points: [
        [1, 2],
        [10, 0.4],
      ] as const,
    },
  ];
  const svg = drawChart({ title: "t", x: axis, y: axis, lines, bounds: [{ name: "limit", y: 5 }] });
  expect(svg.match(/<polyline/g)).toHaveLength(1);
  expect(svg).toContain("x &amp; y");
  expect(svg).toContain("a &lt; b");
  expect(svg).not.toMatch(/NaN|Infinity|undefined/);
});

test("figures are written with their units", () => {
  expect([count(0), count(1.234), count(12_345.6)]).toEqual(["0", "1.2", "12,346"]);
  expect([duration(0.0021), duration(0.9999), duration(12_340)]).toEqual(["2.1 µs", "1 ms", "12.3 s"]);
  expect([bytes(512), bytes(12_288), bytes(4 * 2 ** 30)]).toEqual(["512 B", "12 KiB", "4 GiB"]);
  expect([short(5), short(10_000), short(1e6)]).toEqual(["5", "10k", "1M"]);
});

test("a limit is met where the weights say", () => {
  const weights: Weights = {
    sessionBytes: 1024,
    subscriptionBytes: 512,
    linkBytes: 2048,
    batchBytes: 64,
    storedSessionBytes: 100,
    storedRetainedBytes: 200,
    storedBatchBytes: 128,
    wakeUs: 10,
    qos0Us: 10,
    qos1Us: 40,
    resumeUs: 10,
    scanUs: 1,
  };
  const [memory, ...others] = meetings(weights);
  // 128 MiB are 131,072 KiB, and a million KiB are 7.6 of them.
  expect(memory).toMatchObject({ at: "130,000 sessions (1,024 B each)", shardsForMillion: "8" });
  const cpu = others.find(({ limit }) => limit.startsWith("… QoS 1"));
  expect(cpu?.at).toContain("2 % of a core");
});
