/**
 * Where does one packet end and the next begin, in a stream of chunks that knows nothing of packets?
 *
 * A chunk that holds whole packets is never copied: the reader points into it. Only a packet that straddles chunks is
 * assembled, in a buffer of its own that grows by doubling: linear in the packet's size however small the chunks are,
 * and a fixed header that promises a megabyte costs its sender that megabyte, not us. A buffer that a packet was handed
 * out of is never written again, so views into it stay true for as long as someone holds them.
 */
import { EMPTY, PacketType, type ProtocolVersion } from "./packet.ts";
import { MqttError, Reason } from "./reason.ts";

/** What V8 spends on a small typed array and its buffer, measured and rounded up. */
const CHUNK_BYTES = 256;

export class FrameReader {
  // The current packet: valid after next() returned true and until the next call of next, and given back until next() has
  // come to it once more.
  bytes: Uint8Array = EMPTY;
  type = 0;
  flags = 0;
  /** Of the fixed header. */
  start = 0;
  /** The first byte after the fixed header. */
  body = 0;
  end = 0;

  readonly #packetBytesMax: number;
  #chunk: Uint8Array = EMPTY;
  #at = 0;
  /** Chunks behind #chunk, when the owner pushes faster than it reads. */
  #waiting: Uint8Array[] = [];
  #waitingFrom = 0;
  #waitingBytes = 0;
  /** The beginning of a packet whose end has not arrived; it may have room behind #partialBytes. */
  #partial: Uint8Array = EMPTY;
  #partialBytes = 0;
  #headerBytes = 0;
  /** The current packet comes once more. */
  #again = false;

  constructor(packetBytesMax: number) {
    this.#packetBytesMax = packetBytesMax;
  }

  /** Takes the chunk over: it is read later, and must not be written to any more. */
  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    if (this.#at === this.#chunk.length && this.#waitingFrom === this.#waiting.length) {
      this.#chunk = chunk;
      this.#at = 0;
    } else {
      this.#waiting.push(chunk);
      this.#waitingBytes += chunk.length;
    }
  }

  /**
   * Moves to the next packet; false when more bytes are needed. After an error every further call repeats it.
   *
   * @throws MqttError PacketTooLarge from the fixed header alone, before the body is buffered [MQTT-3.1.2-24 in
   * reverse, §3.2.2.3.6]; MalformedPacket for a length of more than four bytes or with needless ones [MQTT-1.5.5-1].
   */
  next(): boolean {
    if (this.#again) {
      this.#again = false;
      return true;
    }
    for (;;) {
      if (this.#partialBytes > 0 ? this.#nextStraddling() : this.#nextInChunk()) return true;
      if (this.#waitingFrom === this.#waiting.length) break;
      this.#takeWaiting();
    }
    this.#chunk = this.bytes = EMPTY;
    this.#at = this.start = this.body = this.end = 0;
    return false;
  }

  /** Gives the current packet back: next() comes to it once more, whatever is pushed until then. */
  unread(): void {
    this.#again = true;
  }

  /** The first byte of a packet whose end has not arrived; known after next() returned false. */
  get incompleteFirstByte(): number | undefined {
    return this.#partialBytes > 0 ? this.#partial[0] : undefined;
  }

  /** What {@link bufferedBytes} costs: each chunk that waits is an object and a buffer of its own, however little is in it. */
  get heldBytes(): number {
    return this.bufferedBytes + (this.#waiting.length - this.#waitingFrom) * CHUNK_BYTES;
  }

  /** What has arrived and was not handed out. */
  get bufferedBytes(): number {
    const current = this.#again ? this.end - this.start : 0;
    return current + this.#partialBytes + this.#chunk.length - this.#at + this.#waitingBytes;
  }

  #nextInChunk(): boolean {
    const chunk = this.#chunk;
    const at = this.#at;
    const size = this.#packetBytes(chunk, at, chunk.length);
    if (size > 0 && at + size <= chunk.length) {
      this.#at = at + size;
      this.#found(chunk, at, size);
      return true;
    }
    if (at < chunk.length) this.#collect(chunk.length - at, size);
    return false;
  }

  #nextStraddling(): boolean {
    let size = this.#packetBytes(this.#partial, 0, this.#partialBytes);
    while (size === 0 && this.#at < this.#chunk.length) {
      this.#collect(1, 0);
      size = this.#packetBytes(this.#partial, 0, this.#partialBytes);
    }
    if (size === 0) return false;
    this.#collect(Math.min(size - this.#partialBytes, this.#chunk.length - this.#at), size);
    if (this.#partialBytes < size) return false;
    this.#found(this.#partial, 0, size);
    this.#partial = EMPTY;
    this.#partialBytes = 0;
    return true;
  }

  /** Moves `count` bytes of the chunk to the packet being assembled, which will have `size` bytes (0: not yet known). */
  #collect(count: number, size: number): void {
    const length = this.#partialBytes + count;
    if (length > this.#partial.length) {
      const room = Math.max(length, 2 * this.#partial.length, 64);
      const larger = new Uint8Array(size === 0 ? room : Math.max(length, Math.min(room, size)));
      larger.set(this.#partial.subarray(0, this.#partialBytes));
      this.#partial = larger;
    }
    this.#partial.set(this.#chunk.subarray(this.#at, this.#at + count), this.#partialBytes);
    this.#partialBytes = length;
    this.#at += count;
  }

  #takeWaiting(): void {
    const chunk = this.#waiting[this.#waitingFrom]!;
    this.#waiting[this.#waitingFrom] = EMPTY;
    this.#waitingFrom += 1;
    if (this.#waitingFrom === this.#waiting.length) {
      this.#waiting = [];
      this.#waitingFrom = 0;
    }
    this.#waitingBytes -= chunk.length;
    this.#chunk = chunk;
    this.#at = 0;
  }

  #found(bytes: Uint8Array, start: number, size: number): void {
    const first = bytes[start]!;
    this.bytes = bytes;
    this.type = first >> 4;
    this.flags = first & 0x0f;
    this.start = start;
    this.body = start + this.#headerBytes;
    this.end = start + size;
  }

  /** The size of the packet that starts at `at`, 0 when its fixed header is not complete; sets #headerBytes. */
  #packetBytes(bytes: Uint8Array, at: number, end: number): number {
    let length = 0;
    let shift = 0;
    for (let position = at + 1; position < end; position++) {
      const byte = bytes[position]!;
      length |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        if (byte === 0 && shift > 0) throw new MqttError(Reason.MalformedPacket, "a remaining length is not minimal");
        const headerBytes = position + 1 - at;
        if (headerBytes + length > this.#packetBytesMax) {
          throw new MqttError(Reason.PacketTooLarge, `a packet of ${headerBytes + length} bytes`);
        }
        this.#headerBytes = headerBytes;
        return headerBytes + length;
      }
      shift += 7;
      if (shift === 28) throw new MqttError(Reason.MalformedPacket, "a remaining length has more than four bytes");
    }
    return 0;
  }
}

/**
 * Refuses what the first byte alone gives away. To be called for every packet before its decoder, which relies on it.
 *
 * @param version `undefined` before the CONNECT.
 * @throws MqttError MalformedPacket for type 0 and wrong reserved flags; ProtocolError for AUTH before 5.0.
 */
export function checkFixedHeader(type: number, flags: number, version: ProtocolVersion | undefined): void {
  switch (type) {
    case PacketType.PUBLISH:
      return; // All four bits mean something; readPublish judges them.
    case PacketType.PUBREL: // [MQTT-3.6.1-1]
    case PacketType.SUBSCRIBE: // [MQTT-3.8.1-1]
    case PacketType.UNSUBSCRIBE: // [MQTT-3.10.1-1]
      if (flags !== 2) throw reservedFlags();
      return;
    case 0:
      throw new MqttError(Reason.MalformedPacket, "packet type 0");
    case PacketType.AUTH:
      // Type 15 is reserved in 3.1 and 3.1.1.
      if (version !== undefined && version < 5) throw new MqttError(Reason.ProtocolError, "AUTH before MQTT 5.0");
  }
  if (flags !== 0) throw reservedFlags(); // [MQTT-2.1.3-1], [MQTT-3.14.1-1], [MQTT-3.15.1-1]
}

function reservedFlags(): MqttError {
  return new MqttError(Reason.MalformedPacket, "reserved flags of a fixed header");
}

/**
 * PINGREQ says nothing but that it came.
 *
 * @throws MqttError MalformedPacket when it has a body
 */
export function readPingreq(frame: { readonly body: number; readonly end: number }): void {
  if (frame.body !== frame.end) throw new MqttError(Reason.MalformedPacket, "a PINGREQ with a body");
}
