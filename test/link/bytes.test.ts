import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ByteReader, ByteWriter, LinkFormatError } from "../../src/link/bytes.ts";

describe("ByteWriter and ByteReader", () => {
  test("links: what is written is read back, in order, however much it is", () => {
    const value = fc.oneof(
      fc.record({ type: fc.constant("u8" as const), value: fc.nat(0xff) }),
      fc.record({ type: fc.constant("u16" as const), value: fc.nat(0xffff) }),
      fc.record({ type: fc.constant("u32" as const), value: fc.integer({ min: 0, max: 0xffff_ffff }) }),
      fc.record({ type: fc.constant("u48" as const), value: fc.integer({ min: 0, max: 2 ** 48 - 1 }) }),
      fc.record({
        type: fc.constant("string" as const),
        value: fc.string({ unit: "binary" }).map((s) => s.toWellFormed().replaceAll("\0", "")),
      }),
      fc.record({ type: fc.constant("bytes32" as const), value: fc.uint8Array({ maxLength: 600 }) }),
    );
    fc.assert(
      fc.property(fc.array(value, { maxLength: 60 }), (values) => {
        const to = new ByteWriter(1);
        for (const { type, value: written } of values) (to[type] as (value: unknown) => ByteWriter)(written);
        const from = new ByteReader(to.take());
        for (const { type, value: written } of values) expect(from[type]()).toEqual(written);
        expect(from.done).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  test("links: a value that ends early is a LinkFormatError at every missing byte", () => {
    const to = new ByteWriter().u48(2 ** 48 - 1);
    const bytes = to.take();
    for (let end = 0; end < bytes.length; end++) {
      expect(() => new ByteReader(bytes.subarray(0, end)).u48()).toThrow(LinkFormatError);
    }
    expect(() => new ByteReader(Uint8Array.of(0, 0, 0, 5, 1, 2)).bytes32()).toThrow(LinkFormatError);
    expect(() => new ByteReader(Uint8Array.of(0, 3, 65)).string()).toThrow(LinkFormatError);
  });

  test("links: what take() returned is not written to again", () => {
    const to = new ByteWriter(4);
    to.u32(0x01020304);
    const first = to.take();
    to.u32(0x05060708);
    expect([...first]).toEqual([1, 2, 3, 4]);
    expect([...to.take()]).toEqual([5, 6, 7, 8]);
  });

  test("links: space() is filled in by its taker, and length counts it", () => {
    const to = new ByteWriter(1);
    to.u8(9).space(3).set([1, 2, 3]);
    to.u8(8);
    expect(to.length).toBe(5);
    expect([...to.written()]).toEqual([9, 1, 2, 3, 8]);
    to.clear();
    expect(to.length).toBe(0);
  });

  test("links: a writer that was large once still works when it has become small again", () => {
    const to = new ByteWriter();
    to.raw(new Uint8Array(200_000).fill(7));
    expect(to.take()).toHaveLength(200_000);
    expect([...to.u16(0x0102).take()]).toEqual([1, 2]);
  });

  test("links: a view into a larger buffer is read from its own start", () => {
    const bytes = Uint8Array.of(9, 9, 0, 1, 9).subarray(2, 4);
    const from = new ByteReader(bytes);
    expect(from.u16()).toBe(1);
    expect(from.done).toBe(true);
  });
});
