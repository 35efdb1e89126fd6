/**
 * Are these bytes a string that MQTT allows, and which one?
 *
 * Refused [MQTT-1.5.4-1], [MQTT-1.5.4-2]: overlong forms, truncated sequences, encoded surrogates, code points above
 * U+10FFFF, and U+0000. A leading EF BB BF is data [MQTT-1.5.4-3]. Control characters and non-characters (U+0001 to
 * U+001F, U+007F to U+009F, U+FFFF and its like) are accepted everywhere: the specification allows to refuse them but
 * warns that applications use them, and what one client may publish another must be able to subscribe to.
 */
import { MqttError, Reason } from "./reason.ts";

declare const TextDecoder: new (
  label: "utf-8",
  options: { fatal: boolean; ignoreBOM: boolean },
) => { decode(bytes: Uint8Array): string };
declare const TextEncoder: new () => { encode(text: string): Uint8Array };

// Without ignoreBOM the decoder eats a leading BOM, and the topic would no longer match byte for byte [MQTT-1.5.4-3].
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** Up to this length assembling an ASCII string here is quicker than entering TextDecoder. */
const shortBytesMax = 48;

/** @throws MqttError MalformedPacket */
export function decodeUtf8(bytes: Uint8Array, start: number, end: number): string {
  if (end - start <= shortBytesMax) {
    let text = "";
    let at = start;
    for (; at + 7 < end; at += 8) {
      const a = bytes[at]!;
      const b = bytes[at + 1]!;
      const c = bytes[at + 2]!;
      const d = bytes[at + 3]!;
      const e = bytes[at + 4]!;
      const f = bytes[at + 5]!;
      const g = bytes[at + 6]!;
      const h = bytes[at + 7]!;
      // A zero less one is negative: its high bits are set.
      const bits = (a - 1) | (b - 1) | (c - 1) | (d - 1) | (e - 1) | (f - 1) | (g - 1) | (h - 1);
      if (((a | b | c | d | e | f | g | h | bits) & ~0x7f) !== 0) return decodeAny(bytes, start, end);
      text += String.fromCharCode(a, b, c, d, e, f, g, h);
    }
    for (; at < end; at++) {
      const byte = bytes[at]!;
      if (byte === 0 || byte >= 0x80) return decodeAny(bytes, start, end);
      text += String.fromCharCode(byte);
    }
    return text;
  }
  return decodeAny(bytes, start, end);
}

function decodeAny(bytes: Uint8Array, start: number, end: number): string {
  validateUtf8(bytes, start, end);
  return decoder.decode(bytes.subarray(start, end));
}

/**
 * The check of {@link decodeUtf8} without the string, for fields that are forwarded and not read.
 *
 * @throws MqttError MalformedPacket
 */
export function validateUtf8(bytes: Uint8Array, start: number, end: number): void {
  let at = start;
  while (at < end) {
    const lead = bytes[at]!;
    if (lead < 0x80) {
      if (lead === 0) throw malformed("contains U+0000"); // [MQTT-1.5.4-2]
      at += 1;
    } else {
      // RFC 3629's table: the second byte's range is what excludes overlong forms, surrogates and what lies beyond U+10FFFF.
      let tail: number;
      let low = 0x80;
      let high = 0xbf;
      if (lead >= 0xc2 && lead <= 0xdf) tail = 1;
      else if (lead >= 0xe0 && lead <= 0xef) {
        tail = 2;
        if (lead === 0xe0) low = 0xa0;
        else if (lead === 0xed) high = 0x9f;
      } else if (lead >= 0xf0 && lead <= 0xf4) {
        tail = 3;
        if (lead === 0xf0) low = 0x90;
        else if (lead === 0xf4) high = 0x8f;
      } else throw malformed("is not UTF-8");
      if (at + tail >= end) throw malformed("ends inside a character");
      const second = bytes[at + 1]!;
      if (second < low || second > high) throw malformed("is not UTF-8");
      for (let next = at + 2; next <= at + tail; next++) {
        if ((bytes[next]! & 0xc0) !== 0x80) throw malformed("is not UTF-8");
      }
      at += tail + 1;
    }
  }
}

function malformed(what: string): MqttError {
  return new MqttError(Reason.MalformedPacket, `a string ${what}`);
}

/** True for well-formed UTF-8, which unlike that of MQTT's strings may hold U+0000 [MQTT §3.3.2.3.2]. */
export function isUtf8(bytes: Uint8Array): boolean {
  try {
    decoder.decode(bytes);
    return true;
  } catch {
    return false;
  }
}

/** Lone surrogates, which no decoded string contains, become U+FFFD. */
export function encodeUtf8(text: string): Uint8Array {
  return encoder.encode(text);
}

/** The length of {@link encodeUtf8}'s answer, without encoding. */
export function utf8Length(text: string): number {
  let length = text.length;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit < 0x80) continue;
    if (unit < 0x800) length += 1;
    else if (unit >= 0xd800 && unit <= 0xdbff && (text.charCodeAt(at + 1) & 0xfc00) === 0xdc00) {
      // Two units, four bytes.
      length += 2;
      at += 1;
    } else length += 2;
  }
  return length;
}
