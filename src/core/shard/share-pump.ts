/**
 * Hands the messages of share groups to their members: at once when somebody can take one, otherwise from the log when
 * somebody can. Who is here, has grants and can read it comes before who would be next.
 */

import { type Message, remainingSeconds } from "../../mqtt/message.ts";
import { writeHungry } from "../../link/records.ts";
import type { Attendance } from "./attendance.ts";
import { deliveredQos, encodeDelivery, merge } from "./delivery.ts";
import type { Log } from "./log.ts";
import type { Outbox } from "./outlet.ts";
import type { Pump } from "./pump.ts";
import type { ShareGroup } from "./share-group.ts";
import type { ShareGroups } from "./share-groups.ts";
import { choose, type ShareStrategy } from "./share-strategy.ts";

interface Parts {
  readonly log: Log;
  readonly outbox: Outbox;
  readonly pump: Pump;
  readonly groups: ShareGroups;
}

export class SharePump {
  readonly #parts: Parts;
  readonly #strategy: ShareStrategy;
  readonly #backlogBytesMax: number;
  /** What a session's link remembers is out of date. */
  readonly #touch: (attendance: Attendance, now: number) => void;

  constructor(
    parts: Parts,
    strategy: ShareStrategy,
    backlogBytesMax: number,
    touch: (attendance: Attendance, now: number) => void,
  ) {
    this.#parts = parts;
    this.#strategy = strategy;
    this.#backlogBytesMax = backlogBytesMax;
    this.#touch = touch;
  }

  /**
   * Hands out a message that was just published.
   *
   * @param offset its place in the log; undefined when it has none
   * @returns false when nobody can have it now
   */
  publish(group: ShareGroup, message: Message, offset: number | undefined, now: number): boolean {
    const queued = message.qos > 0 && group.qos > 0 && offset !== undefined;
    if (queued && group.owed) {
      // What came before it comes first.
      group.behind ??= offset - 1;
      return false;
    }
    if (this.#offer(group, message, offset, now)) return true;
    if (queued) {
      group.behind = offset - 1;
      group.dirty = true;
    }
    return false;
  }

  /** Hands out what waits for a group, as far as somebody can have it now. */
  run(group: ShareGroup, now: number): void {
    // What waits is for a member that wants more, and is not here yet.
    if (group.qos === 0) return;
    if (this.#returns(group, now)) this.#read(group, now);
    if (!group.owed) return;
    for (const [member, { qos }] of group.members) {
      if (qos === 0 || !member.outlet || member.grants > 0 || member.hungry) continue;
      member.hungry = true;
      writeHungry(this.#parts.outbox.records(member.outlet));
    }
  }

  /** Returns false when some of what came back has to wait. */
  #returns(group: ShareGroup, now: number): boolean {
    for (let offset = group.back[0]; offset !== undefined; offset = group.back[0]) {
      const message = this.#parts.log.at(offset);
      if (message && !this.#offer(group, message, offset, now)) return false;
      group.back.shift();
      group.dirty = true;
    }
    return true;
  }

  #read(group: ShareGroup, now: number): void {
    while (group.behind !== undefined && !this.#parts.log.tired) {
      const entries = this.#parts.log.read(group.behind);
      if (entries.length === 0) {
        group.reach(undefined);
        group.uncertain = false;
        return;
      }
      for (const { offset, message } of entries) {
        const wanted = group.isDue(offset) && group.wants(message);
        if (wanted && !this.#offer(group, message, offset, now)) return;
        group.reach(offset);
      }
    }
  }

  /** Sends a message to a member. Returns false when none can have it now. */
  #offer(group: ShareGroup, message: Message, offset: number | undefined, now: number): boolean {
    if (remainingSeconds(message, now) === 0) return true;
    let packet: Uint8Array | undefined;
    let tooLarge = false;
    let busy = false;
    const to = choose(this.#strategy, group, message, (member) => {
      const terms = merge([group.members.get(member)!]);
      if (!this.#takes(member, deliveredQos(message, terms))) {
        busy ||= member.outlet !== undefined;
        return false;
      }
      const encoded = encodeDelivery(this.#parts.outbox.arena, message, terms, member.mqttVersion, false, now)!;
      tooLarge ||= encoded.length > member.packetBytesMax;
      if (encoded.length > member.packetBytesMax) return false;
      packet = encoded;
      return true;
    });
    // What nobody who is here can ever take counts as delivered [MQTT-3.1.2-25].
    if (!to || !packet) return tooLarge && !busy;
    group.last = to;
    group.dirty ||= message.qos > 0;
    const subscription = group.members.get(to)!;
    if (deliveredQos(message, subscription) === 0) {
      this.#parts.outbox.share(to.outlet!, packet);
      return true;
    }
    this.#touch(to, now);
    const packetId = this.#parts.pump.deliver(to, packet, message.topicUtf8.length, offset!, subscription.number, true);
    this.#parts.groups.handed(group, to, packetId, offset!);
    return true;
  }

  #takes(member: Attendance, qos: 0 | 1 | 2): boolean {
    if (!member.outlet || member.resends.length > 0) return false;
    return qos > 0 ? this.#parts.pump.ready(member) : member.outlet.backlogBytes < this.#backlogBytesMax;
  }
}
