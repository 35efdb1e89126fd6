/**
 * Numbers for busy topics, so that their names travel to a client once and not with every message [MQTT §3.3.2.3.4].
 *
 * A number means the same topic to every client of the shard, so that a packet still is encoded once for all of them; who
 * has been told is known by the session's attendance, which lives no longer than its link. Shard k uses only aliases
 * ≡ k + 1 modulo `SHARDS`, so that no two shards give one client the same number.
 */

import type { Message } from "../../mqtt/message.ts";

/** Topics that have a number at one time. */
const SLOTS = 64;
/** A shorter name costs less than its alias saves. */
const TOPIC_BYTES_MIN = 8;

export interface AliasSlot {
  readonly index: number;
  readonly topic: string;
  /** Differs for every topic that the slot ever had. */
  readonly serial: number;
  /** Published to since the slot was last looked at. */
  used: boolean;
}

/** How a packet names its topic. */
export interface Alias {
  readonly number: number;
  /** The client knows it: the packet has no topic name. */
  readonly known: boolean;
}

export class TopicAliases {
  readonly #slots: AliasSlot[] = [];
  readonly #byTopic = new Map<string, AliasSlot>();
  #hand = 0;
  #serials = 0;

  /** The slot of a message's topic; a topic that has none gets one that has not been used lately, if there is any. */
  of({ topic, topicUtf8 }: Message): AliasSlot | undefined {
    const known = this.#byTopic.get(topic);
    if (known) {
      known.used = true;
      return known;
    }
    if (topicUtf8.length < TOPIC_BYTES_MIN) return undefined;
    const index = this.#hand;
    this.#hand = (this.#hand + 1) % SLOTS;
    const present = this.#slots[index];
    if (present?.used) {
      present.used = false;
      return undefined;
    }
    if (present) this.#byTopic.delete(present.topic);
    const slot = { index, topic, serial: ++this.#serials, used: true };
    this.#slots[index] = slot;
    this.#byTopic.set(topic, slot);
    return slot;
  }
}

/** How many slots a client can be told of that takes aliases up to `maximum`. */
export function slotsWithin(maximum: number, shard: number, shards: number): number {
  return maximum > shard ? Math.min(Math.floor((maximum - 1 - shard) / shards) + 1, SLOTS) : 0;
}

export function aliasOf(slot: AliasSlot, shard: number, shards: number): number {
  return slot.index * shards + shard + 1;
}
