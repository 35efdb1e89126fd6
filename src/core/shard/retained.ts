/**
 * Retained messages of a shard: the last one of each topic, in the order in which they were set.
 *
 * A value set at QoS > 0 is stored in the turn that acknowledges it. One set at QoS 0 waits for the next checkpoint, so
 * that a sensor which publishes ten times a second writes its row once; a crash may lose it, as QoS 0 may be lost.
 *
 * There are no more of them than {@link Limits.retainedMax}, and of no more bytes. A topic that has one can have another, and
 * lose it, whatever there is. How many there are is not stored, as that would be a row more for each: they are counted
 * when the first new topic comes after a start, and from then on it is known.
 */

import type { Message } from "../../mqtt/message.ts";
import { messageBytes } from "../../link/message.ts";
import { remainingSeconds } from "../../mqtt/message.ts";
import { filterMatches, hasWildcard } from "../../mqtt/topic.ts";
import type { Limits } from "../limits.ts";
import type { Entry, ShardStore } from "./store.ts";

/** Topics looked at in one step of a scan. */
const PAGE_TOPICS = 256;

export class Retained {
  readonly #store: ShardStore;
  /** Values of QoS 0 that are not stored yet, by topic; undefined clears. */
  readonly #unsaved = new Map<string, Entry | undefined>();

  readonly #limits: Pick<Limits, "retainedMax" | "retainedBytesMax">;
  /** Stored and unsaved; undefined while they have not been counted. */
  #usage: { messages: number; bytes: number } | undefined;

  constructor(store: ShardStore, limits: Pick<Limits, "retainedMax" | "retainedBytesMax">) {
    this.#store = store;
    this.#limits = limits;
  }

  get unsaved(): boolean {
    return this.#unsaved.size > 0;
  }

  /** True unless the message would be the first of its topic, and there are too many. */
  admits(message: Message): boolean {
    return this.#admits(message, this.#bytesOf(message.topic));
  }

  /** @param before bytes of what the topic has; undefined when it has nothing */
  #admits(message: Message, before: number | undefined): boolean {
    if (message.payload.length === 0 || before !== undefined) return true;
    const { messages, bytes } = this.#count();
    const { retainedMax, retainedBytesMax } = this.#limits;
    return messages < retainedMax && bytes + messageBytes(message) <= retainedBytesMax;
  }

  /**
   * Sets the topic's message, or clears it when the payload is empty [MQTT-3.3.1-5, MQTT-3.3.1-6]. Returns false when there
   * are too many, and it is as it was.
   */
  set(offset: number, message: Message): boolean {
    const { topic } = message;
    const before = this.#bytesOf(topic);
    if (!this.#admits(message, before)) return false;
    const value = message.payload.length === 0 ? undefined : { offset, message: detached(message) };
    if (this.#usage) {
      this.#usage.messages += Number(value !== undefined) - Number(before !== undefined);
      this.#usage.bytes += (value ? messageBytes(message) : 0) - (before ?? 0);
    }
    if (message.qos === 0) {
      this.#unsaved.set(topic, value);
    } else {
      this.#unsaved.delete(topic);
      this.#write(topic, value);
    }
    return true;
  }

  /** Stores what is not stored yet. */
  save(): void {
    if (this.#unsaved.size === 0) return;
    this.#store.transaction(() => {
      for (const [topic, value] of this.#unsaved) this.#write(topic, value);
    });
    this.#unsaved.clear();
  }

  /**
   * Where the next retained messages are that match a filter, in order.
   *
   * @param after place of the scan: the offset that it has come to
   * @param upTo values set later are left out, as their live copy is delivered
   * @returns the offsets of one page, and the place to go on from; undefined when there are no more
   */
  page(filter: string, after: number, upTo: number): { offsets: number[]; next: number | undefined } {
    this.save();
    if (!hasWildcard(filter)) {
      const offset = this.#store.retainedOffset(filter);
      const wanted = offset !== undefined && offset > after && offset <= upTo;
      return { offsets: wanted ? [offset] : [], next: undefined };
    }
    const topics = this.#store.retainedTopics(literalPrefix(filter), after, upTo, PAGE_TOPICS);
    const offsets = topics.filter(({ topic }) => filterMatches(filter, topic)).map(({ offset }) => offset);
    return { offsets, next: topics.length < PAGE_TOPICS ? undefined : topics.at(-1)!.offset };
  }

  /** The message at a place that {@link page} returned; undefined when it was replaced, cleared or has expired. */
  at(offset: number, now: number): Entry | undefined {
    const entry = this.#store.retainedAt(offset);
    return entry && this.#alive(entry, now) ? entry : undefined;
  }

  /** The message that was set at an offset, expired or not; undefined when it was replaced or cleared. */
  stored(offset: number): Message | undefined {
    this.save();
    return this.#store.retainedAt(offset)?.message;
  }

  /** An expired message is deleted when it is met [MQTT-3.3.2-5]. */
  #alive(entry: Entry, now: number): boolean {
    if (remainingSeconds(entry.message, now) !== 0) return true;
    if (this.#usage) {
      this.#usage.messages -= 1;
      this.#usage.bytes -= messageBytes(entry.message);
    }
    this.#store.deleteRetained(entry.message.topic);
    return false;
  }

  /** Bytes of what the topic has, stored or not; undefined when it has nothing. */
  #bytesOf(topic: string): number | undefined {
    if (!this.#unsaved.has(topic)) return this.#store.retainedBytes(topic);
    const unsaved = this.#unsaved.get(topic);
    return unsaved && messageBytes(unsaved.message);
  }

  #count(): { readonly messages: number; readonly bytes: number } {
    if (!this.#usage) {
      this.save();
      this.#usage = this.#store.retainedUsage();
    }
    return this.#usage;
  }

  #write(topic: string, value: Entry | undefined): void {
    if (value) this.#store.putRetained(value);
    else this.#store.deleteRetained(topic);
  }
}

/** The part of a filter before its first wildcard: what every topic that it matches begins with. */
function literalPrefix(filter: string): string {
  const wildcard = filter.search(/[+#]/);
  // "sport/#" matches "sport" as well, so the slash before a `#` is not part of it.
  return filter[wildcard] === "#" ? filter.slice(0, Math.max(0, wildcard - 1)) : filter.slice(0, wildcard);
}

/** A copy that does not keep the frame alive in which the message came. */
function detached(message: Message): Message {
  return {
    ...message,
    topicUtf8: message.topicUtf8.slice(),
    properties: message.properties.slice(),
    payload: message.payload.slice(),
  };
}
