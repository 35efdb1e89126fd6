/** What the link's reader does with bytes that nobody has chosen. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ByteReader, LinkFormatError } from "../../src/link/bytes.ts";
import { readMessage } from "../../src/link/message.ts";
import * as records from "../../src/link/records.ts";

const NOW = 1_700_000_000_000;
const kinds = Object.values(records.Kind);

/** Lengths and counts are where a reader goes wrong: small ones, so that something fits, and the largest. */
const byte = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(0, 0, 0, 1, 2, 3) },
  { weight: 1, arbitrary: fc.constantFrom(0x7f, 0x80, 0xff) },
  { weight: 1, arbitrary: fc.nat(255) },
);
const body = fc.array(byte, { maxLength: 120 });

/** Everything that the bytes say, up to where they are refused. */
function read(bytes: Uint8Array): { found: records.LinkRecord[]; refused: boolean } {
  const from = new ByteReader(bytes);
  const found: records.LinkRecord[] = [];
  try {
    while (!from.done) found.push(records.readRecord(from, NOW));
  } catch (error) {
    expect(error).toBeInstanceOf(LinkFormatError);
    return { found, refused: true };
  }
  return { found, refused: false };
}

describe("any bytes on a link", () => {
  test("links: are records or a LinkFormatError, and nothing else, for every kind", () => {
    for (const kind of kinds) {
      fc.assert(
        fc.property(body, (rest) => {
          for (const record of read(Uint8Array.of(kind, ...rest)).found) expect(kinds).toContain(record.kind);
        }),
        { numRuns: 300 },
      );
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void read(bytes)),
      { numRuns: 2_000 },
    );
  });

  test("links: a count is believed only as far as the bytes reach, so a short frame is a short work", () => {
    const most = [0xff, 0xff, 0xff, 0xff];
    const frames = [
      [records.Kind.Subscribe, 0, 0, 0, 1, ...most],
      [records.Kind.Unsubscribe, 0, 0, 0, 1, ...most],
      [records.Kind.Keep, 0, 0, 0, 1, ...most],
      [records.Kind.Attached, 1, 0, 0, 0, 0, 0, 0, ...most],
      [records.Kind.Deliver, 0xff, 0xff],
      [records.Kind.Unsubscribed, 0, 0, 0, 1, ...most],
    ];
    for (const frame of frames) expect(read(Uint8Array.from(frame))).toEqual({ found: [], refused: true });
  });

  test("links: a frame that is read twice says the same, whatever buffer it lies in", () => {
    fc.assert(
      fc.property(fc.constantFrom(...kinds), body, fc.nat(9), (kind, rest, offset) => {
        const bytes = Uint8Array.of(kind, ...rest);
        const within = new Uint8Array(bytes.length + 20).fill(0xee);
        within.set(bytes, offset);
        expect(read(within.subarray(offset, offset + bytes.length))).toEqual(read(bytes));
      }),
      { numRuns: 2_000 },
    );
  });

  test("links: a stored message is one or a LinkFormatError", () => {
    fc.assert(
      fc.property(body, (bytes) => {
        try {
          readMessage(new ByteReader(Uint8Array.from(bytes)));
        } catch (error) {
          expect(error).toBeInstanceOf(LinkFormatError);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
