import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkFixedHeader, FrameReader, readPingreq } from "../../src/mqtt/frame.ts";
import { Reason } from "../../src/mqtt/reason.ts";
import { varintLength, writeVarint } from "../../src/mqtt/properties.ts";
import { hex, packet } from "./notation.ts";

const tooLarge = expect.objectContaining({ reason: Reason.PacketTooLarge });
const malformed = expect.objectContaining({ reason: Reason.MalformedPacket });

function publish(bodyBytes: number, fill: number): Uint8Array {
  const bytes = new Uint8Array(1 + varintLength(bodyBytes) + bodyBytes).fill(fill);
  bytes[0] = 0x30;
  writeVarint(bytes, 1, bodyBytes);
  return bytes;
}

/** Splits `bytes` before each of the positions. */
function split(bytes: Uint8Array, positions: number[]): Uint8Array[] {
  const cuts = [0, ...positions.map((at) => at % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return cuts.slice(1).map((end, index) => bytes.slice(cuts[index], end));
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

describe("FrameReader", () => {
  it("finds the packets in the order of their chunks, however much is pushed before it is asked again", () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.constant("push"), fc.constant("next"), fc.constant("unread"))), (steps) => {
        const reader = new FrameReader(20_000);
        let pushed = 0;
        const found: number[] = [];
        for (const step of steps) {
          if (step === "push") reader.push(publish(2, pushed++));
          else if (step === "next" && reader.next()) found.push(reader.bytes[reader.body]!);
          else if (step === "unread" && reader.end > 0 && found.length > 0) {
            reader.unread();
            expect(reader.next()).toBe(true);
            expect(reader.bytes[reader.body]).toBe(found.at(-1));
          }
        }
        while (reader.next()) found.push(reader.bytes[reader.body]!);
        expect(found).toEqual(Array.from({ length: pushed }, (_, at) => at % 256));
      }),
    );
  });

  it("[MQTT-6.0.0-2] finds the packets wherever the chunks are cut, and whenever it is asked", () => {
    const bodies = fc.array(fc.oneof(fc.nat(6), fc.integer({ min: 120, max: 140 }), fc.constant(16_400)), {
      minLength: 1,
      maxLength: 8,
    });
    fc.assert(
      fc.property(bodies, fc.array(fc.nat(), { maxLength: 12 }), fc.boolean(), (sizes, cuts, eager) => {
        const packets = sizes.map((size, index) => publish(size, index));
        const reader = new FrameReader(20_000);
        const views: Uint8Array[] = [];
        const drain = (): void => {
          while (reader.next()) {
            expect([reader.type, reader.flags]).toEqual([3, 0]);
            expect(reader.body - reader.start).toBe(packets[views.length]!.length - sizes[views.length]!);
            views.push(reader.bytes.subarray(reader.start, reader.end));
          }
        };
        const whole = new Uint8Array(Buffer.concat(packets));
        for (const chunk of split(whole, cuts)) {
          reader.push(chunk);
          if (eager) drain();
        }
        expect(reader.bufferedBytes).toBe(eager ? 0 : whole.length);
        drain();
        expect(reader.bufferedBytes).toBe(0);
        // Compared last: later chunks must not have changed what was handed out.
        expect(views.map(hex)).toEqual(packets.map(hex));
      }),
      { numRuns: 300 },
    );
  });

  it("comes once more to a packet that is given back, whatever is pushed meanwhile", () => {
    const sizes = fc.array(fc.oneof(fc.nat(6), fc.integer({ min: 120, max: 140 })), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(sizes, fc.array(fc.nat(), { maxLength: 12 }), fc.array(fc.boolean()), (bodies, cuts, returns) => {
        const packets = bodies.map((size, index) => publish(size, index));
        const reader = new FrameReader(20_000);
        const found: string[] = [];
        let turns = 0;
        let isBack = false;
        for (const chunk of split(Uint8Array.from(packets.flatMap((bytes) => [...bytes])), cuts)) {
          const held = reader.bufferedBytes;
          reader.push(chunk);
          expect(reader.bufferedBytes).toBe(held + chunk.length);
          while (reader.next()) {
            const bytes = hexOf(reader.bytes.subarray(reader.start, reader.end));
            if (isBack) expect(bytes).toBe(found.at(-1));
            else found.push(bytes);
            isBack = returns[turns++] ?? false;
            if (isBack) reader.unread();
            // Sometimes more comes before it is read again.
            if (isBack && turns % 2 === 0) break;
          }
        }
        while (reader.next())
          if (isBack) isBack = false;
          else found.push(hexOf(reader.bytes.subarray(reader.start, reader.end)));
        expect(found).toEqual(packets.map(hexOf));
      }),
    );
  });

  it("points into the chunk for packets that lie in it whole", () => {
    const reader = new FrameReader(1000);
    const chunk = packet("c000 30 ( 'a' ) c000");
    reader.push(chunk);
    for (let count = 0; count < 3; count++) {
      expect(reader.next()).toBe(true);
      expect(reader.bytes).toBe(chunk);
    }
    expect(reader.next()).toBe(false);
    expect(reader.bytes.length).toBe(0);
  });

  it("does not hold a large chunk for the sake of a packet's first bytes", () => {
    const reader = new FrameReader(1000);
    const chunk = new Uint8Array(65_536 + 1).fill(0xc0);
    for (let at = 1; at < chunk.length; at += 2) chunk[at] = 0;
    reader.push(chunk);
    while (reader.next());
    expect(reader.bufferedBytes).toBe(1);
    reader.push(Uint8Array.of(0));
    expect(reader.next()).toBe(true);
    expect(reader.bytes.buffer.byteLength).toBeLessThan(1000);
  });

  it("assembles a megabyte from small chunks without copying it over and over", () => {
    const whole = publish(1_048_576, 0x61);
    const reader = new FrameReader(2_000_000);
    let allocated = 0;
    let last: ArrayBufferLike | undefined;
    let found = false;
    for (let at = 0; at < whole.length; at += 100) {
      reader.push(whole.subarray(at, at + 100));
      found = reader.next();
      if (found && reader.bytes.buffer !== last) allocated = reader.bytes.buffer.byteLength;
      last = reader.bytes.buffer;
    }
    expect(found).toBe(true);
    expect(allocated).toBe(whole.length);
    expect(reader.end - reader.start).toBe(whole.length);
  });

  it("a header that promises much allocates little", () => {
    const reader = new FrameReader(300_000_000);
    reader.push(packet("30 ffffff7f 61*10"));
    expect(reader.next()).toBe(false);
    expect(reader.bufferedBytes).toBe(15);
  });

  it("[§2.1.4] refuses a packet above the limit from its header, and again when asked again", () => {
    for (const chunks of [["30 8001"], ["30", "80", "01"]]) {
      const reader = new FrameReader(130);
      for (const chunk of chunks) reader.push(packet(chunk));
      expect(() => reader.next()).toThrow(tooLarge);
      expect(() => reader.next()).toThrow(tooLarge);
    }
    const exact = new FrameReader(131);
    exact.push(publish(128, 0));
    expect(exact.next()).toBe(true);
  });

  it("[MQTT-1.5.5-1] refuses a length of five bytes or with needless ones, at the earliest byte", () => {
    for (const header of ["30 ffffffff", "30 8000", "30 808000", "30 80808000"]) {
      const reader = new FrameReader(300_000_000);
      reader.push(packet(header));
      expect(() => reader.next(), header).toThrow(malformed);
    }
    const longest = new FrameReader(300_000_000);
    longest.push(packet("30 80808001"));
    expect(longest.next()).toBe(false);
  });

  it("ignores empty chunks", () => {
    const reader = new FrameReader(10);
    reader.push(new Uint8Array(0));
    expect(reader.next()).toBe(false);
    reader.push(packet("c0"));
    expect(reader.next()).toBe(false);
    reader.push(new Uint8Array(0));
    reader.push(packet("00"));
    expect(reader.next()).toBe(true);
  });
});

describe("the fixed header", () => {
  it("[MQTT-2.1.3-1] has exact flags for every type but PUBLISH", () => {
    for (let type = 1; type <= 15; type++) {
      const legal = type === 6 || type === 8 || type === 10 ? 2 : 0;
      for (let flags = 0; flags < 16; flags++) {
        const check = (): void => checkFixedHeader(type, flags, 5);
        if (type === 3 || flags === legal) expect(check).not.toThrow();
        else expect(check, `${type} ${flags}`).toThrow(malformed);
      }
    }
  });

  it("[§2.1.2] type 0 is malformed, type 15 exists from 5.0", () => {
    expect(() => checkFixedHeader(0, 0, 5)).toThrow(malformed);
    expect(() => checkFixedHeader(15, 0, 4)).toThrow(expect.objectContaining({ reason: Reason.ProtocolError }));
    expect(() => checkFixedHeader(15, 0, undefined)).not.toThrow();
  });

  it("[MQTT-3.12.4-1] PINGREQ has no body", () => {
    expect(() => readPingreq({ body: 2, end: 2 })).not.toThrow();
    expect(() => readPingreq({ body: 2, end: 3 })).toThrow(malformed);
  });
});
