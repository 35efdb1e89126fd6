/**
 * Have these bytes been a valid topic before?
 *
 * Publishers repeat topics, and decoding and checking one costs more than the rest of a PUBLISH. The owner decides how
 * long a cache lives and how many publishers share it; its size is fixed, a newer topic replaces the older in its place.
 */
import { validateTopicName, type TopicLimits } from "./topic.ts";
import { decodeUtf8 } from "./utf8.ts";

/** Longer topics are not kept, so that a cache holds at most this many bytes for each entry. */
const cachedBytesMax = 256;

export class TopicCache {
  readonly #entries: ({ utf8: Uint8Array; topic: string; limits: TopicLimits } | undefined)[];
  readonly #mask: number;

  /** @param entriesMax is rounded up to a power of two */
  constructor(entriesMax = 64) {
    let size = 1;
    while (size < entriesMax) size *= 2;
    this.#entries = new Array(size).fill(undefined);
    this.#mask = size - 1;
  }

  /**
   * {@link readTopic}, remembered. An entry is only as good as the limits that it was checked against.
   *
   * @throws MqttError
   */
  read(bytes: Uint8Array, start: number, end: number, limits: TopicLimits): string {
    const length = end - start;
    if (length > cachedBytesMax || length < 4) return readTopic(bytes, start, end, limits);
    // Topics of one application differ most often in their last bytes or somewhere in the middle.
    const middle = start + (length >> 1);
    const hash =
      Math.imul(
        bytes[end - 1]! | (bytes[end - 2]! << 8) | (bytes[end - 3]! << 16) | (bytes[middle]! << 24),
        0x9e3779b1,
      ) ^ Math.imul(length | (bytes[middle - 1]! << 16), 0x85ebca6b);
    const place = ((hash >>> 16) ^ hash) & this.#mask;
    const entry = this.#entries[place];
    if (entry !== undefined && entry.limits === limits && isSame(entry.utf8, bytes, start, length)) return entry.topic;
    const topic = readTopic(bytes, start, end, limits);
    this.#entries[place] = { utf8: bytes.slice(start, end), topic, limits };
    return topic;
  }
}

function isSame(utf8: Uint8Array, bytes: Uint8Array, start: number, length: number): boolean {
  if (utf8.length !== length) return false;
  for (let at = 0; at < length; at++) if (utf8[at] !== bytes[start + at]) return false;
  return true;
}

/** @throws MqttError MalformedPacket, TopicNameInvalid */
export function readTopic(bytes: Uint8Array, start: number, end: number, limits: TopicLimits): string {
  const topic = decodeUtf8(bytes, start, end); // [MQTT-3.3.2-1]
  validateTopicName(topic, limits);
  return topic;
}
