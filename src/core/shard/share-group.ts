/**
 * A share group in one shard: sessions that share what matches one filter, so that each message goes to one of them. The
 * group reads the log as a session does, from a place of its own; what it hands to a member is *out* until that member
 * acknowledges it, and comes back if the member goes first.
 *
 *     log   ────────●────────────────────▶        behind: what comes after it nobody was handed yet
 *     out      3 → a   5 → b   6 → a              handed to a member and not acknowledged
 *     back     4                                  was out, and waits for another member
 *     ahead                9                      after `behind`, and taken care of all the same
 *
 * QoS 1 comes back; QoS 2 only if it never reached its member, who alone may have it otherwise [MQTT-4.8.2-4], and ends with
 * its session [MQTT-4.8.2-5].
 */

import { filterMatches, parseShare } from "../../mqtt/topic.ts";
import type { Message } from "../../mqtt/message.ts";
import type { Attendance, Subscription } from "./attendance.ts";

/** A message that a member was handed and has not acknowledged. */
export interface Handed {
  /** Under which it was sent: no other delivery of its session has it while it is out. */
  readonly packetId: number;
  readonly qos: 1 | 2;
  /** Whose it is: a session, and the connection of it that it was sent to. */
  readonly session: string;
  readonly epoch: number;
  /** Which of the shared deliveries to that connection it is, from 1; 0: it is known to have arrived. */
  readonly sequence: number;
}

/** A delivery to a member that the group may want back. */
export interface Shared {
  readonly group: ShareGroup;
  readonly offset: number;
}

export class ShareGroup {
  /** `$share/<group>/<filter>`: what makes subscriptions one group. */
  readonly filter: string;
  /** The filter that topics are matched with. */
  readonly inner: string;
  readonly members = new Map<Attendance, Subscription>();
  /** Offset up to which the log was handed out; undefined while it is at the head, whatever that is. */
  behind: number | undefined;
  /** Offset from which the log counts for it; of a group that was stored its place says what is left of that. */
  since = Infinity;
  /** Nobody has looked yet whether the log has anything for the group behind that offset. */
  uncertain = false;
  /** Messages with a member, by offset. */
  readonly out = new Map<number, Handed>();
  /** Offsets of messages that wait for another member, in order. */
  readonly back: number[] = [];
  /** Offsets behind its place that were handed out before all the same, so that they are left out there. */
  readonly ahead = new Set<number>();
  /** The member that had a message last; strategies go on from there. */
  last: Attendance | undefined;
  /** What is stored of it is out of date. */
  dirty = true;
  #qos: 0 | 1 | 2 = 0;
  #order: readonly Attendance[] | undefined;

  constructor(filter: string) {
    this.filter = filter;
    this.inner = parseShare(filter)!.filter;
  }

  /** The highest QoS that a member was granted: with 0 nothing waits for the group. */
  get qos(): 0 | 1 | 2 {
    return this.#qos;
  }

  /** The members in the order in which they came. */
  get order(): readonly Attendance[] {
    return (this.#order ??= [...this.members.keys()]);
  }

  /** True when something waits to be handed out. */
  get owed(): boolean {
    return this.back.length > 0 || this.behind !== undefined;
  }

  /** True when a message of the log is for the group. */
  wants({ topic }: Message): boolean {
    return this.#qos > 0 && filterMatches(this.inner, topic);
  }

  /** True when a message is still to be handed out. */
  awaits(offset: number): boolean {
    return (this.behind !== undefined && this.behind < offset && this.isDue(offset)) || this.back.includes(offset);
  }

  /** True when some member other than `member` has a link. */
  hasOther(member: Attendance): boolean {
    return this.order.some((other) => other !== member && other.outlet !== undefined);
  }

  join(member: Attendance, subscription: Subscription): void {
    this.members.set(member, subscription);
    this.#changed();
  }

  part(member: Attendance): void {
    this.members.delete(member);
    if (this.last === member) this.last = undefined;
    this.#changed();
  }

  /** A member is done with a message, or nobody is to have it any more. */
  done(offset: number): void {
    if (!this.out.delete(offset)) return;
    this.dirty = true;
    this.#passed(offset);
  }

  /** A message is to go to another member. */
  giveBack(offset: number): void {
    this.out.delete(offset);
    this.await(offset);
  }

  /** A message waits for a member. */
  await(offset: number): void {
    this.dirty = true;
    this.#passed(offset);
    let at = this.back.length;
    while (at > 0 && this.back[at - 1]! > offset) at--;
    if (this.back[at - 1] !== offset) this.back.splice(at, 0, offset);
  }

  /** Everything up to this offset was handed out; undefined: all there is. */
  reach(offset: number | undefined): void {
    this.behind = offset;
    if (this.ahead.size === 0) return;
    for (const passed of this.ahead) if (offset === undefined || passed <= offset) this.ahead.delete(passed);
  }

  /** True when a message behind its place was not handed out before. */
  isDue(offset: number): boolean {
    return !this.out.has(offset) && !this.ahead.has(offset);
  }

  #passed(offset: number): void {
    if (this.behind !== undefined && this.behind < offset) this.ahead.add(offset);
  }

  /** The log must keep what comes after this offset for the group; undefined when it needs nothing. */
  needs(): number | undefined {
    let oldest = this.back[0] ?? Infinity;
    for (const offset of this.out.keys()) oldest = Math.min(oldest, offset);
    const needs = Math.min(this.behind ?? Infinity, oldest - 1);
    return needs === Infinity ? undefined : needs;
  }

  /**
   * The log keeps nothing up to this offset any more. Returns how many messages so were lost that had come back, or are
   * with members, who may not have got them.
   */
  release(offset: number): number {
    if (this.behind !== undefined && this.behind < offset) this.reach(offset);
    const lost = [...this.out.keys()].filter((handed) => handed <= offset);
    for (const handed of lost) this.out.delete(handed);
    const kept = this.back.findIndex((waiting) => waiting > offset);
    this.dirty = true;
    return lost.length + this.back.splice(0, kept < 0 ? this.back.length : kept).length;
  }

  #changed(): void {
    this.dirty = true;
    this.#order = undefined;
    this.#qos = Math.max(0, ...[...this.members.values()].map(({ qos }) => qos)) as 0 | 1 | 2;
  }
}
