import { expect, test } from "vitest";
import { diagram } from "./diagram.ts";

test("a column for each party, an arrow for what is said, and a dot for what is done alone", () => {
  const lines = [
    { ms: 1, from: "d1", to: "d1", text: "publish" },
    { ms: 2, from: "d1", to: "shard 0", text: "PUBLISH" },
    { ms: 13.4, from: "shard 0", to: "d1's", text: "DELIVER" },
    { ms: 14, from: "shard 1", to: "d1", text: "is left out" },
    { ms: 15, from: undefined, to: undefined, text: "kill: workerd" },
  ];
  expect(diagram(["d1", "d1's", "shard 0"], lines)).toBe(
    [
      "       ms   d1       d1's     shard 0",
      "        1   ●        │        │         publish",
      "        2   ├────────────────▶│         PUBLISH",
      "       13   │        │◀───────┤         DELIVER",
      "       15   ═══ kill: workerd",
    ].join("\n"),
  );
});
