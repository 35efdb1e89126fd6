/** What the log says of a client: one line that machines read, of a bounded length, and a bounded number of them. */
import { expect, test } from "vitest";
import { Refusals } from "../../../src/core/refusals.ts";
import { DENIED_LINES, Journal } from "../../../src/edge/journal.ts";
import { line } from "../../../src/line.ts";
import { Reason } from "../../../src/mqtt/reason.ts";

function scene(client = "c") {
  const lines: string[] = [];
  const refusals = new Refusals();
  const journal = new Journal(
    refusals,
    () => ({ client, user: undefined, address: "192.0.2.1" }),
    (text) => {
      lines.push(text);
    },
  );
  return { lines, refusals, journal, read: () => lines.map((text) => JSON.parse(text) as Record<string, unknown>) };
}

test("a refusal is a line with its reason in words and as a code, and who it was", () => {
  const s = scene();
  s.journal.ended("refused", Reason.Banned, "the user is banned");
  expect(s.read()).toEqual([
    { event: "refused", reason: "banned", code: 0x8a, detail: "the user is banned", client: "c", address: "192.0.2.1" },
  ]);
  expect([...s.refusals.counts]).toEqual([["refused: banned", 1]]);
});

test("what a client writes into a line cannot end it, and is cut", () => {
  const s = scene(`x"}\n{"event":"forged"}\u2028\r\0${"y".repeat(65_000)}`);
  s.journal.ended("disconnected", Reason.ProtocolError, "z".repeat(100_000));
  s.journal.denied("publish", "t".repeat(65_535), Reason.NotAuthorized, 0);
  expect(s.lines.every((text) => !/[\n\r\0]/.test(text) && text.length < 3_000)).toBe(true);
  expect(s.read().map(({ event }) => event)).toEqual(["disconnected", "denied"]);
});

test("half a character that is left by the cut is escaped", () => {
  const text = line({ client: `${"x".repeat(255)}😀${"x".repeat(100)}` });
  expect(text.isWellFormed()).toBe(true);
});

test("who is denied a thousand times is told of ten times a minute, and the rest is summed up", () => {
  const s = scene();
  for (let at = 0; at < 1000; at++) s.journal.denied("subscribe", "secret/#", Reason.NotAuthorized, at);
  expect(s.lines).toHaveLength(DENIED_LINES);
  s.journal.denied("subscribe", "secret/#", Reason.NotAuthorized, 60_000);
  expect(s.read().slice(DENIED_LINES)).toMatchObject([
    { event: "denied", more: 990 },
    { event: "denied", filter: "secret/#", reason: "not authorized", code: 0x87 },
  ]);
  s.journal.sum();
  expect(s.lines).toHaveLength(DENIED_LINES + 2);
  expect(s.refusals.counts.get("denied: not authorized")).toBe(1001);
});
