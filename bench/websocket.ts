/**
 * The client's half of WebSocket (RFC 6455), reduced to what a load generator needs.
 *
 * The mask key is zero: legal (the key is the client's choice), still masked on the wire, and it leaves a frame's
 * payload as it is, so frames can be encoded once. No extensions, so no compression. Inbound frames become a byte
 * stream without being put together. The accept key of the handshake is not checked: the peers are our own processes.
 */

import { randomBytes } from "node:crypto";

const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
const FINAL = 0x80;
const MASKED = 0x80;

export function openingHandshake(url: URL): Buffer {
  return Buffer.from(
    [
      `GET ${url.pathname}${url.search} HTTP/1.1`,
      `Host: ${url.host}`,
      "Upgrade: websocket",
      "Connection: Upgrade",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Protocol: mqtt", // [MQTT-6.0.0-3]
      `Sec-WebSocket-Key: ${randomBytes(16).toString("base64")}`,
      "\r\n",
    ].join("\r\n"),
    "latin1",
  );
}

/** Bytes in front of a client frame's payload: header, length and mask key. */
export function frameOverheadBytes(payloadBytes: number): number {
  return payloadBytes < 126 ? 6 : payloadBytes < 65_536 ? 8 : 14;
}

/** One client frame with mask key zero. */
export function frame(payload: Buffer, opcode: number = OPCODE.binary): Buffer {
  const overhead = frameOverheadBytes(payload.length);
  const bytes = Buffer.alloc(overhead + payload.length);
  bytes[0] = FINAL | opcode;
  if (overhead === 6) {
    bytes[1] = MASKED | payload.length;
  } else if (overhead === 8) {
    bytes[1] = MASKED | 126;
    bytes.writeUInt16BE(payload.length, 2);
  } else {
    bytes[1] = MASKED | 127;
    bytes.writeBigUInt64BE(BigInt(payload.length), 2);
  }
  payload.copy(bytes, overhead);
  return bytes;
}

export interface WebSocketEvents {
  /** The upgrade was accepted. */
  onOpen(): void;
  /** Part of the payload of a data frame. `buffer` is overwritten after the call. */
  onBytes(buffer: Buffer, start: number, end: number): void;
  /** A frame to write: the answer to a ping. */
  onPong(frame: Buffer): void;
}

const HEADER_END = Buffer.from("\r\n\r\n");
const RESPONSE_HEADER_BYTES_MAX = 16 * 1024;

/** Reads what a server sends, from the HTTP response on. Throws when the server refuses, closes or breaks the rules. */
export class WebSocketReader {
  readonly #events: WebSocketEvents;
  // The HTTP response until it is complete, then null.
  #response: Buffer | null = Buffer.alloc(0);
  // The beginning of a frame header that was cut; a server's header has 10 bytes at most.
  readonly #header = Buffer.alloc(10);
  #headerLength = 0;
  #opcode: number = OPCODE.binary;
  #payloadLeft = 0;
  // The payload of a control frame (125 bytes at most), which may be cut too.
  #control: Buffer[] = [];

  constructor(events: WebSocketEvents) {
    this.#events = events;
  }

  push(buffer: Buffer, start: number, end: number): void {
    let at = this.#response === null ? start : this.#readResponse(buffer, start, end);
    while (at < end) {
      if (this.#payloadLeft === 0) {
        at = this.#readHeader(buffer, at, end);
        if (this.#payloadLeft > 0 || this.#headerLength > 0) continue;
        if (this.#opcode >= OPCODE.close) this.#endControl();
        continue;
      }
      const take = Math.min(this.#payloadLeft, end - at);
      this.#payloadLeft -= take;
      if (this.#opcode < OPCODE.close) {
        this.#events.onBytes(buffer, at, at + take);
      } else {
        this.#control.push(Buffer.from(buffer.subarray(at, at + take)));
        if (this.#payloadLeft === 0) this.#endControl();
      }
      at += take;
    }
  }

  /** Returns where the frames begin, or `end` while the response is incomplete. */
  #readResponse(buffer: Buffer, start: number, end: number): number {
    const before = this.#response!;
    const response = Buffer.concat([before, buffer.subarray(start, end)]);
    const headerEnd = response.indexOf(HEADER_END);
    if (headerEnd < 0) {
      if (response.length > RESPONSE_HEADER_BYTES_MAX) throw new Error("the response to the upgrade is too long");
      this.#response = response;
      return end;
    }
    const status = response.toString("latin1", 0, response.indexOf("\r\n"));
    if (!/^HTTP\/1\.1 101\b/.test(status)) throw new Error(`the upgrade was refused: ${status}`);
    this.#response = null;
    this.#events.onOpen();
    return start + headerEnd + HEADER_END.length - before.length;
  }

  /** Takes a header, or as much of it as there is. Sets opcode and payload length once it is complete. */
  #readHeader(buffer: Buffer, start: number, end: number): number {
    // Nearly always the header is complete and short.
    if (this.#headerLength === 0 && start + 2 <= end) {
      const length = buffer[start + 1]!;
      if (length < 126) {
        this.#opcode = buffer[start]! & 0x0f;
        this.#payloadLeft = length;
        return start + 2;
      }
    }
    let at = start;
    const header = this.#header;
    while (at < end) {
      header[this.#headerLength++] = buffer[at++]!;
      if (this.#headerLength < 2) continue;
      const length = header[1]!;
      if (length & MASKED) throw new Error("the server masked a frame");
      if (this.#headerLength < (length < 126 ? 2 : length === 126 ? 4 : 10)) continue;
      this.#opcode = header[0]! & 0x0f;
      this.#payloadLeft =
        length < 126 ? length : length === 126 ? header.readUInt16BE(2) : Number(header.readBigUInt64BE(2));
      this.#headerLength = 0;
      break;
    }
    return at;
  }

  #endControl(): void {
    const payload = Buffer.concat(this.#control);
    this.#control = [];
    if (this.#opcode === OPCODE.ping) this.#events.onPong(frame(payload, OPCODE.pong));
    if (this.#opcode !== OPCODE.close) return;
    const code = payload.length >= 2 ? payload.readUInt16BE(0) : 1005;
    throw new Error(`the broker closed with ${code} ${payload.toString("utf8", 2)}`.trimEnd());
  }
}
