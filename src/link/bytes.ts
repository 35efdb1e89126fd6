/**
 * Bytes in and out for everything that Dormouse encodes itself: the records of links, log batches, attachments.
 *
 * All integers are big endian. Offsets, epochs and generations are 48-bit: they hold milliseconds since 1970 until
 * the year 10889 and stay exact in a JavaScript number. Strings are UTF-8 behind a 16-bit length, as in MQTT; byte
 * strings are behind a 32-bit length.
 */

import { decodeUtf8, encodeUtf8 } from "../mqtt/utf8.ts";

const U48_HIGH = 2 ** 32;
const NO_BYTES = new Uint8Array(0);

/** Appends values to a buffer that grows. `take` hands the bytes out and starts anew. */
export class ByteWriter {
  #bytes: Uint8Array;
  #view: DataView;
  #length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
    return this;
  }

  u16(value: number): this {
    this.#reserve(2);
    this.#view.setUint16(this.#length, value);
    this.#length += 2;
    return this;
  }

  u32(value: number): this {
    this.#reserve(4);
    this.#view.setUint32(this.#length, value);
    this.#length += 4;
    return this;
  }

  u48(value: number): this {
    this.#reserve(6);
    this.#view.setUint16(this.#length, Math.floor(value / U48_HIGH));
    this.#view.setUint32(this.#length + 2, value % U48_HIGH);
    this.#length += 6;
    return this;
  }

  string(value: string): this {
    return this.string16(encodeUtf8(value));
  }

  /** A string that is UTF-8 already. */
  string16(utf8: Uint8Array): this {
    return this.u16(utf8.length).raw(utf8);
  }

  bytes32(value: Uint8Array): this {
    return this.u32(value.length).raw(value);
  }

  raw(value: Uint8Array): this {
    this.#reserve(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  /** Adds `count` bytes and returns them to be filled in before anything else is written. */
  space(count: number): Uint8Array {
    this.#reserve(count);
    this.#length += count;
    return this.#bytes.subarray(this.#length - count, this.#length);
  }

  /** What was written, as a view that the next write may overwrite. */
  written(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Copies out what was written and empties the writer, keeping its capacity while it is small. */
  take(): Uint8Array {
    const taken = this.#bytes.slice(0, this.#length);
    this.clear();
    return taken;
  }

  clear(): void {
    this.#length = 0;
    if (this.#bytes.length > CAPACITY_KEPT_BYTES) {
      this.#bytes = new Uint8Array(256);
      this.#view = new DataView(this.#bytes.buffer);
    }
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}

/** An isolate holds thousands of writers, so one burst must not make each of them large for ever. */
const CAPACITY_KEPT_BYTES = 64 * 1024;

/** A record that ends early or says what it may not. The link is broken; the peer's client is not at fault. */
export class LinkFormatError extends Error {
  override readonly name = "LinkFormatError";
}

/** Decodes what {@link ByteReader.string16} returned. */
export function utf8Text(utf8: Uint8Array): string {
  try {
    return decodeUtf8(utf8, 0, utf8.length);
  } catch {
    throw new LinkFormatError("a string is not UTF-8");
  }
}

/** Reads values in the order in which {@link ByteWriter} wrote them. Byte strings are views, not copies. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #position = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get done(): boolean {
    return this.#position >= this.#bytes.length;
  }

  u8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#advance(2));
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4));
  }

  u48(): number {
    const at = this.#advance(6);
    return this.#view.getUint16(at) * U48_HIGH + this.#view.getUint32(at + 2);
  }

  string(): string {
    return utf8Text(this.string16());
  }

  /** The UTF-8 of a string, without decoding it. */
  string16(): Uint8Array {
    return this.raw(this.u16());
  }

  bytes32(): Uint8Array {
    return this.raw(this.u32());
  }

  raw(length: number): Uint8Array {
    if (length === 0) return NO_BYTES;
    const at = this.#advance(length);
    return this.#bytes.subarray(at, at + length);
  }

  #advance(count: number): number {
    const at = this.#position;
    if (at + count > this.#bytes.length)
      throw new LinkFormatError(`record ends ${at + count - this.#bytes.length} bytes early`);
    this.#position = at + count;
    return at;
  }
}
