/**
 * The share groups of a shard: who is in which, what became of the messages that members were handed, and what of it is
 * stored.
 *
 * A group is stored as soon as something of it changed for a second, and with every PUBLISH of QoS 2 before it leaves: so
 * after a restart QoS 1 of that second may be handed out again, and QoS 2 never is. What was out when the object went is
 * claimed by the members that come back; what nobody claims until the grace is over comes back itself.
 */

import { ByteReader, ByteWriter } from "../../link/bytes.ts";
import type { HelloRecord } from "../../link/records.ts";
import { Phase } from "../../link/records.ts";
import type { Attendance, Subscription } from "./attendance.ts";
import type { Fanout, FanoutTree } from "./fanout.ts";
import type { Log } from "./log.ts";
import type { Places } from "./place.ts";
import { type Handed, type Shared, ShareGroup } from "./share-group.ts";
import type { ShardStore } from "./store.ts";

interface Parts {
  readonly store: ShardStore;
  readonly log: Log;
  readonly tree: FanoutTree;
  readonly fanout: Fanout;
  readonly places: Places;
}

export class ShareGroups {
  readonly #parts: Parts;
  readonly #groups = new Map<string, ShareGroup>();
  /** By session: nobody has said yet what became of it. */
  readonly #unclaimed = new Map<string, Shared[]>();
  /** Groups that must be stored with this turn. */
  readonly #exact = new Set<ShareGroup>();
  /** Groups that may have lost their last member. */
  readonly #deserted = new Set<ShareGroup>();
  /** Groups that may have more handed out when this turn's messages are committed. */
  readonly owed = new Set<ShareGroup>();
  #concluded = false;

  constructor(parts: Parts) {
    this.#parts = parts;
    for (const { filter, place } of parts.store.shares()) this.#load(filter, place);
  }

  get all(): Iterable<ShareGroup> {
    return this.#groups.values();
  }

  // Members.

  join(by: Attendance, subscription: Subscription): void {
    const { filter } = subscription;
    const group = this.#groups.get(filter) ?? this.#found(filter);
    group.join(by, subscription);
    by.groups.add(group);
    this.#reachBack(group, subscription.start);
    if (by.outlet) this.#gather(group);
    this.#parts.fanout.changed();
  }

  /** A member has unsubscribed. It goes on with what it was sent [MQTT-3.10.4-4], and if it ends first another has that. */
  unsubscribe(by: Attendance, filter: string): void {
    const group = this.#groups.get(filter);
    if (!group) return;
    for (const [packetId, shared] of by.shared) if (shared.group === group) by.unshare(packetId);
    this.#part(by, group);
  }

  /** A session has ended here, or goes on as another attendance. */
  forget(by: Attendance): void {
    for (const group of by.groups) this.#part(by, group);
  }

  /** A session has ended: what it has not acknowledged goes to another member, but for QoS 2 [MQTT-4.8.2-5]. */
  ended(by: Attendance): void {
    for (const [packetId, { group, offset }] of by.shared) {
      if (by.inflight.get(packetId)?.qos === 1) this.#giveBack(group, offset);
      else group.done(offset);
    }
    by.shared.clear();
  }

  /** A member is gone, and its session goes on: who is here may have what it was sent at QoS 1. */
  left(by: Attendance): void {
    by.left = true;
    for (const group of by.groups) if (group.hasOther(by)) this.#takeBack(by, group);
  }

  /** A member is done with a delivery. */
  acknowledged(by: Attendance, packetId: number): void {
    const shared = by.shared.get(packetId);
    if (!shared) return;
    by.shared.delete(packetId);
    shared.group.done(shared.offset);
  }

  /** A member was sent a message under a packet id. */
  handed(group: ShareGroup, to: Attendance, packetId: number, offset: number): void {
    const { qos } = to.inflight.get(packetId)!;
    const { session, epoch } = to;
    to.shared.set(packetId, { group, offset });
    group.out.set(offset, { packetId, qos, session, epoch, sequence: ++to.sharedSent });
    group.dirty = true;
    if (qos === 2) this.#exact.add(group);
  }

  // Coming back.

  /**
   * A connection says hello again: what was sent to it over its earlier link and is not there never arrived, or is done.
   *
   * @returns true when something never arrived, and is for another member
   */
  reconcile(previous: Attendance, hello: HelloRecord): boolean {
    if (previous.epoch !== hello.epoch) return false;
    let returned = false;
    const claimed = new Map(hello.inflight.map(({ packetId, offset }) => [packetId, offset]));
    for (const [packetId, { group, offset }] of previous.shared) {
      if (claimed.get(packetId) === offset) continue;
      const handed = group.out.get(offset);
      // What an earlier connection was sent this one has been told of.
      const arrived = handed?.epoch !== hello.epoch || handed.sequence <= hello.sharedReceived;
      if (arrived && hello.cursor === undefined) continue;
      if (arrived) group.done(offset);
      else this.#giveBack(group, offset);
      returned ||= !arrived;
      previous.inflight.delete(packetId);
      previous.shared.delete(packetId);
    }
    return returned;
  }

  /**
   * A session was taken in, with its subscriptions.
   *
   * @param previous the same session as another attendance, whose deliveries it goes on with
   */
  greeted(attendance: Attendance, hello: HelloRecord, previous: Attendance | undefined): void {
    const filters = new Map(hello.subscriptions.map(({ number, filter }) => [number, filter]));
    const unclaimed = this.#unclaimed.get(attendance.session) ?? [];
    for (const { packetId, offset, source, shared } of attendance.inflight.values()) {
      const known = [...unclaimed, previous?.shared.get(packetId)].find((one) => one && isOut(one, packetId, offset));
      // What its group has not stored is known by a number to a connection that has it; the numbers of an earlier connection
      // mean nothing in this one.
      const numbered = shared && hello.cursor !== undefined ? this.#groups.get(filters.get(source) ?? "") : undefined;
      const group = known?.group ?? numbered;
      if (group) this.#claim(attendance, packetId, group, offset);
      else if (shared) attendance.unshare(packetId);
    }
    this.#settleUnclaimed(attendance, hello);
  }

  /** A stored session is there again, with what was in flight to it. */
  loaded(attendance: Attendance): void {
    const unclaimed = this.#unclaimed.get(attendance.session) ?? [];
    for (const { packetId, offset, shared } of attendance.inflight.values()) {
      if (!shared) continue;
      const at = unclaimed.findIndex((out) => isOut(out, packetId, offset));
      const out = unclaimed.splice(at, at < 0 ? 0 : 1)[0];
      if (out) attendance.shared.set(packetId, out);
      else attendance.unshare(packetId);
    }
  }

  /** Nobody comes back any more that was not here. */
  conclude(): void {
    if (this.#concluded) return;
    this.#concluded = true;
    for (const unclaimed of this.#unclaimed.values())
      for (const { group, offset } of unclaimed) this.#settle(group, offset);
    this.#unclaimed.clear();
    for (const group of this.#groups.values()) {
      for (const member of group.order) member.left ||= member.outlet === undefined && member.persistent;
      this.#gather(group);
    }
  }

  // Saving.

  /** Stores what must be stored with this turn, and forgets the groups that nobody is in. */
  save(recovering: boolean): void {
    for (const group of this.#exact) this.#write(group);
    this.#exact.clear();
    if (recovering) return;
    for (const group of this.#deserted) {
      this.#deserted.delete(group);
      if (group.members.size > 0) continue;
      this.#groups.delete(group.filter);
      this.#parts.tree.delete(group.inner, group);
      this.#parts.fanout.changed();
      this.#parts.store.deleteShare(group.filter);
    }
  }

  checkpoint(): void {
    for (const group of this.#groups.values()) {
      if (!group.dirty) continue;
      // Who wanted more than QoS 0 may still come back.
      if (group.qos > 0 || !this.#concluded) this.#write(group);
      else this.#empty(group);
    }
  }

  /** Nobody wants more than QoS 0 any more: nothing waits, and no place is kept that would only grow old. */
  #empty(group: ShareGroup): void {
    group.dirty = false;
    group.reach(undefined);
    group.back.length = 0;
    this.#parts.store.deleteShare(group.filter);
  }

  #write(group: ShareGroup): void {
    group.dirty = false;
    this.#parts.store.putShare(group.filter, writeShare(group, this.#parts.log.head));
  }

  #load(filter: string, place: Uint8Array): void {
    const group = this.#found(filter);
    group.since = 0;
    const from = new ByteReader(place);
    const cursor = from.u48();
    if (this.#parts.log.holdsAfter(cursor)) {
      group.behind = cursor;
      group.uncertain = true;
    }
    for (let left = from.u32(); left > 0; left--) group.back.push(from.u48());
    for (let left = from.u32(); left > 0; left--) group.ahead.add(from.u48());
    while (!from.done) {
      const offset = from.u48();
      const handed = readHanded(from);
      group.out.set(offset, handed);
      const unclaimed = this.#unclaimed.get(handed.session);
      if (unclaimed) unclaimed.push({ group, offset });
      else this.#unclaimed.set(handed.session, [{ group, offset }]);
    }
    group.dirty = false;
  }

  #found(filter: string): ShareGroup {
    const group = new ShareGroup(filter);
    this.#groups.set(filter, group);
    this.#deserted.add(group);
    this.#parts.tree.set(group.inner, group, undefined);
    return group;
  }

  /** A member comes back that had subscribed before what the group is known to have had. */
  #reachBack(group: ShareGroup, start: number): void {
    const { since } = group;
    if (start >= since) return;
    group.since = start;
    const { log } = this.#parts;
    if (since === Infinity) {
      if (log.holdsAfter(start)) group.behind = start;
      return;
    }
    for (let at = start; at < since;) {
      const entries = log.read(at);
      if (entries.length === 0) break;
      for (const { offset, message } of entries) if (offset <= since && group.wants(message)) group.await(offset);
      at = entries.at(-1)!.offset;
    }
    if (group.owed) this.owed.add(group);
  }

  #part(by: Attendance, group: ShareGroup): void {
    group.part(by);
    by.groups.delete(group);
    if (group.members.size === 0) this.#deserted.add(group);
    this.#parts.fanout.changed();
  }

  /** A session has a delivery of a group, unless another member had it meanwhile: it is out, or done with. */
  #claim(by: Attendance, packetId: number, group: ShareGroup, offset: number): void {
    const handed = group.out.get(offset);
    const subscription = by.subscriptions.get(group.filter);
    const its = handed ? handed.session === by.session : subscription !== undefined && group.awaits(offset);
    if (its && subscription) by.share(packetId, subscription.number);
    else by.unshare(packetId);
    if (!its) return;
    by.shared.set(packetId, { group, offset });
    const waiting = group.back.indexOf(offset);
    if (waiting >= 0) group.back.splice(waiting, 1);
    if (handed?.epoch === by.epoch && handed.packetId === packetId) return;
    const { qos } = by.inflight.get(packetId)!;
    group.out.set(offset, { packetId, qos, session: by.session, epoch: by.epoch, sequence: 0 });
    group.dirty = true;
  }

  /** What a session was handed by an earlier incarnation and does not have. */
  #settleUnclaimed({ session, shared }: Attendance, hello: HelloRecord): void {
    const unclaimed = this.#unclaimed.get(session);
    this.#unclaimed.delete(session);
    for (const { group, offset } of unclaimed ?? []) {
      const handed = group.out.get(offset);
      if (handed?.session !== session || shared.get(handed.packetId)?.group === group) continue;
      if (hello.cursor === undefined || handed.epoch !== hello.epoch) this.#settle(group, offset);
      else if (handed.sequence > hello.sharedReceived) this.#giveBack(group, offset);
      else group.done(offset);
    }
  }

  /** Whoever is here may have what absent members were sent at QoS 1. */
  #gather(group: ShareGroup): void {
    if (group.out.size === 0) return;
    for (const member of group.order) if (member.left && group.hasOther(member)) this.#takeBack(member, group);
  }

  #takeBack(from: Attendance, group: ShareGroup): void {
    for (const [packetId, shared] of from.shared) {
      const delivery = from.inflight.get(packetId);
      if (shared.group !== group || delivery?.qos !== 1 || delivery.phase === Phase.Received) continue;
      from.drop(packetId);
      from.shared.delete(packetId);
      this.#parts.places.exact(from);
      this.#giveBack(group, shared.offset);
    }
  }

  /** The session of a delivery has ended, or knows nothing of it. */
  #settle(group: ShareGroup, offset: number): void {
    if (group.out.get(offset)?.qos === 1) this.#giveBack(group, offset);
    else group.done(offset);
  }

  #giveBack(group: ShareGroup, offset: number): void {
    // The place of the member that had it may be stored with this turn.
    if (group.out.get(offset)?.qos === 2) this.#exact.add(group);
    group.giveBack(offset);
    this.owed.add(group);
  }
}

/** It is that delivery. Several groups may have handed a session the same message, each under a packet id of its own. */
function isOut({ group, offset: its }: Shared, packetId: number, offset: number): boolean {
  return its === offset && group.out.get(offset)?.packetId === packetId;
}

/**
 * cursor u48 · count u32 · what came back (offset u48) · count u32 · what is ahead (offset u48) · what is out (offset u48 ·
 * packet id u16 · qos u8 · session · epoch u48 · sequence u32) to the end.
 */
function writeShare({ behind, back, ahead, out }: ShareGroup, head: number): Uint8Array {
  const to = new ByteWriter();
  to.u48(behind ?? head).u32(back.length);
  for (const offset of back) to.u48(offset);
  to.u32(ahead.size);
  for (const offset of ahead) to.u48(offset);
  for (const [offset, { packetId, qos, session, epoch, sequence }] of out) {
    to.u48(offset).u16(packetId).u8(qos).string(session).u48(epoch).u32(sequence);
  }
  return to.take();
}

function readHanded(from: ByteReader): Handed {
  return {
    packetId: from.u16(),
    qos: from.u8() as 1 | 2,
    session: from.string(),
    epoch: from.u48(),
    sequence: from.u32(),
  };
}
