/**
 * A session as one shard knows it: its subscriptions here, its place in the log, what is in flight to it, and the link
 * to its connection while there is one.
 */

import type { AttachedSubscription, Fence, HelloRecord, InflightRecord, Scan, ShardBound } from "../../link/records.ts";
import { ByteWriter } from "../../link/bytes.ts";
import { Kind, LINK_VERSIONS, Phase, writeHello } from "../../link/records.ts";
import { LazyMap, LazySet } from "./lazy.ts";
import type { Outlet } from "./outlet.ts";
import type { Placement } from "./placement.ts";
import type { Shared, ShareGroup } from "./share-group.ts";
import { aliasOf, type AliasSlot, slotsWithin } from "./topic-aliases.ts";

/** A subscription in this shard. */
export interface Subscription extends AttachedSubscription {
  scan: Scan | undefined;
}

/** What the shortest subscription takes in a hello. */
const SUBSCRIPTION_BYTES_MIN = 18;

/** A record that changes subscriptions. */
export type SubscriptionChange = Extract<
  ShardBound,
  { readonly kind: typeof Kind.Subscribe } | { readonly kind: typeof Kind.Unsubscribe }
>;

/** Whose attendance it is, and under which terms; most of a hello. */
export type Attending = Omit<HelloRecord, "kind" | "versionMin" | "versionMax" | "cursor" | "subscriptions">;

/** What is stored of a session's place. */
interface Stored {
  /** When it was stored. */
  readonly at: number;
  readonly cursor: number;
  /** How many deliveries and scans. */
  readonly inflight: number;
  readonly scans: number;
}

export class Attendance implements Fence {
  readonly session: string;
  readonly generation: number;
  readonly epoch: number;
  /** The session outlives its connections. */
  readonly persistent: boolean;
  readonly mqttVersion: 3 | 4 | 5;
  readonly packetBytesMax: number;
  readonly topicAliasMaximum: number;
  /** How many slots of the shard's topic aliases its client can be told of. */
  readonly aliasSlots: number;
  /** What it was told over its link: the serial of the topic in each slot. */
  readonly aliases: (number | undefined)[] = [];
  readonly subscriptions = new Map<string, Subscription>();
  /** Deliveries not acknowledged, by packet id, in the order in which they were sent. */
  readonly inflight = new LazyMap<number, InflightRecord>();
  /** Those of them that an earlier connection left, and that are still to be sent again in this one. */
  readonly resends: InflightRecord[] = [];
  readonly #placement: Placement;
  readonly #shard: number;
  readonly #tenant: string;
  linkNumber: number;
  outlet: Outlet | undefined;
  /** When the session is given up that has no link; undefined: not here. */
  offlineUntil: number | undefined;
  /** Deliveries that the connection allows. */
  grants: number;
  /** The connection was told that there is more to deliver than grants. */
  hungry = false;
  /** Offset up to which the log was delivered; undefined while it is at the head, whatever that is. */
  behind: number | undefined;
  /** Nobody has looked yet whether the log has anything for the session behind that offset. */
  uncertain = false;
  /** Changes of subscriptions that wait until the log was delivered on the terms that were in force. */
  readonly held: SubscriptionChange[] = [];
  /** What the link's socket remembers is out of date. */
  dirty = false;
  /** Share groups that it is in. */
  readonly groups = new LazySet<ShareGroup>();
  /** Deliveries that they may want back, by packet id. */
  readonly shared = new LazyMap<number, Shared>();
  /** How many of them were sent to the connection for the first time. */
  sharedSent: number;
  /** Its connection is gone for good, while the session goes on. */
  left = false;
  /** A row of its own says that the shard holds something of the session. */
  kept = false;
  /** When its link said hello, in milliseconds since 1970. */
  attachedAt = 0;
  /** Its place as it is stored, once it is. */
  stored: Stored | undefined;
  /** When its place changed last, in milliseconds since 1970. */
  changedAt = 0;
  #packetId: number;
  #released = 0;
  /** Some of what is in flight is older than what is before it. */
  #disordered = false;
  /** How many packet ids are the shard's. */
  readonly #ids: number;

  constructor(attending: Attending, shard: number) {
    this.session = attending.session;
    this.generation = attending.generation;
    this.epoch = attending.epoch;
    this.persistent = attending.persistent;
    this.mqttVersion = attending.mqttVersion;
    this.packetBytesMax = attending.packetBytesMax;
    this.topicAliasMaximum = attending.topicAliasMaximum;
    this.aliasSlots = slotsWithin(attending.topicAliasMaximum, shard, attending.shards);
    this.linkNumber = attending.link;
    this.grants = attending.grants;
    this.sharedSent = attending.sharedReceived;
    this.#tenant = attending.tenant;
    this.#placement = { shards: attending.shards, depth: attending.depth };
    this.#shard = shard;
    this.#packetId = shard;
    this.#ids = Math.floor((65_535 - shard) / attending.shards) + (shard === 0 ? 0 : 1);
    for (const delivery of attending.inflight) this.#hold(delivery);
  }

  /**
   * Goes on where an earlier connection of the session has left off, or an earlier link of this one whose answers were all
   * lost.
   *
   * @param goesOn whether a retained message belongs to a subscription that goes on, and so will not be sent for it anew
   * @returns the deliveries that so are undone: they were first sent over such a link, and never reached the client
   */
  resume(earlier: Attendance, goesOn: (offset: number) => boolean): InflightRecord[] {
    this.behind = earlier.behind;
    this.uncertain = earlier.uncertain;
    this.#packetId = earlier.#packetId;
    this.#released = earlier.#released;
    const undone: InflightRecord[] = [];
    const numbers = new Set([...earlier.subscriptions.values()].map(({ number }) => number));
    for (const delivery of earlier.inflight.values()) {
      const { phase, source, shared } = delivery;
      const lost = phase === Phase.Sent && earlier.epoch === this.epoch;
      // A shared one is for whoever its group hands it to next; it says nothing of how far the session's own came.
      if (lost && shared) continue;
      // A retained message of a subscription that goes on can only be sent as new while that is known by its number.
      const again = source === 0 || numbers.has(source) || !goesOn(delivery.offset);
      if (phase === Phase.Received) this.#hold(delivery);
      else if (lost && again) undone.push(delivery);
      else this.#hold({ ...delivery, phase: Phase.Unsent });
    }
    const first = undone.find(({ source }) => source === 0);
    if (first) {
      this.behind = Math.min(this.behind ?? Infinity, first.offset - 1);
      this.uncertain = false;
    }
    return undone;
  }

  #hold(delivery: InflightRecord): void {
    this.inflight.set(delivery.packetId, delivery);
    this.#disordered ||= delivery.source === 0 && delivery.shared === true;
    if (delivery.phase === Phase.Unsent) this.resends.push(delivery);
  }

  /** The alias by which its client is told of a slot. */
  aliasOf(slot: AliasSlot): number {
    return aliasOf(slot, this.#shard, this.#placement.shards);
  }

  /** A delivery is for a shared subscription. */
  share(packetId: number, number: number): void {
    this.#replace(packetId, (delivery) => ({ ...delivery, source: number, shared: true }));
  }

  /** A delivery is for none of the session's shared subscriptions, any more. */
  unshare(packetId: number): void {
    this.#disordered = true;
    this.#replace(packetId, (delivery) => ({ ...delivery, source: 0 }));
  }

  /** Somebody else is to have a delivery. */
  drop(packetId: number): void {
    const delivery = this.inflight.get(packetId)!;
    this.inflight.delete(packetId);
    const at = this.resends.indexOf(delivery);
    if (at >= 0) this.resends.splice(at, 1);
  }

  #replace(packetId: number, change: (delivery: InflightRecord) => InflightRecord): void {
    const delivery = this.inflight.get(packetId)!;
    const changed = change(delivery);
    this.inflight.set(packetId, changed);
    const at = this.resends.indexOf(delivery);
    if (at >= 0) this.resends[at] = changed;
  }

  get scanning(): Subscription | undefined {
    for (const subscription of this.subscriptions.values()) if (subscription.scan !== undefined) return subscription;
    return undefined;
  }

  /** True when something waits to be delivered. */
  get owed(): boolean {
    return this.resends.length > 0 || this.behind !== undefined || this.scanning !== undefined;
  }

  /** True when a packet id is free: the shard's slice has so many. */
  get hasFreeId(): boolean {
    return this.inflight.size < this.#ids;
  }

  /**
   * True when a change has to wait: what was logged under the present terms is still to be delivered, and under the new
   * ones it would be lost, or come a second time [MQTT-3.8.4-4].
   */
  mustHold(change: SubscriptionChange): boolean {
    if (this.held.length > 0) return true;
    if (this.behind === undefined || change.kind !== Kind.Subscribe) return false;
    return change.subscriptions.some((wanted) => {
      const present = this.subscriptions.get(wanted.filter);
      return present && present.qos > 0 && (wanted.qos === 0 || (present.noLocal && !wanted.noLocal));
    });
  }

  /** A packet id of this shard's slice: ids ≡ shard modulo shards, never 0, and none in flight. */
  nextPacketId(): number {
    const { shards } = this.#placement;
    for (let tries = 0; tries <= 65_535 / shards; tries++) {
      this.#packetId += shards;
      if (this.#packetId > 65_535) this.#packetId = this.#shard === 0 ? shards : this.#shard;
      if (!this.inflight.has(this.#packetId)) return this.#packetId;
    }
    throw new Error(`no packet id is free although ${this.grants} grants are`);
  }

  /** The log must keep what comes after this offset for this session; undefined when it needs nothing. */
  needs(): number | undefined {
    let oldest = Infinity;
    for (const { offset, source, phase } of this.inflight.values()) {
      // A frame that is lost with its link is sent again from the log, so what is not acknowledged is still needed. What
      // is for a share group its group keeps.
      if (source !== 0 || offset <= this.#released || phase === Phase.Received) continue;
      // Deliveries from the log are in its order: the first is the oldest, and older than what is still behind.
      if (!this.#disordered) return offset - 1;
      oldest = Math.min(oldest, offset);
    }
    const needs = Math.min(oldest - 1, this.behind ?? Infinity);
    return needs === Infinity ? undefined : needs;
  }

  /** Everything up to this offset was delivered, or is not the session's; undefined: all there is. */
  reach(offset: number | undefined): void {
    this.behind = offset;
  }

  /** True when the log is kept for what it, or its share groups because of it, need. */
  get owes(): boolean {
    return this.shared.size > 0 || this.needs() !== undefined;
  }

  /**
   * How many deliveries to a link that was lost never arrived and cannot come again, because the log does not keep them any
   * more: those that the connection, which says what it has, does not know of.
   *
   * @param cursor up to where the log came to the connection; undefined: nothing did
   */
  lost(epoch: number, cursor: number | undefined): number {
    if (epoch !== this.epoch) return 0;
    let lost = 0;
    for (const { offset, source, shared, phase } of this.inflight.values()) {
      const own = source === 0 && !shared && phase === Phase.Sent;
      if (own && offset > (cursor ?? 0) && offset <= this.#released) lost += 1;
    }
    return lost;
  }

  /** The log keeps nothing up to this offset any more, needed or not. */
  release(offset: number): void {
    this.#released = offset;
    if (this.behind !== undefined && this.behind < offset) this.behind = offset;
  }

  /** Everything that this shard would have to be told if it forgot, as a hello; undefined when that is too much. */
  remember(head: number, bytesMax: number): Uint8Array | undefined {
    if (this.subscriptions.size * SUBSCRIPTION_BYTES_MIN > bytesMax) return undefined;
    // A hello does not have what waits; the connection brings it again.
    if (this.held.length > 0) return undefined;
    const to = new ByteWriter();
    writeHello(to, {
      versionMin: LINK_VERSIONS.min,
      versionMax: LINK_VERSIONS.max,
      shards: this.#placement.shards,
      depth: this.#placement.depth,
      tenant: this.#tenant,
      session: this.session,
      generation: this.generation,
      epoch: this.epoch,
      link: this.linkNumber,
      mqttVersion: this.mqttVersion,
      packetBytesMax: this.packetBytesMax,
      topicAliasMaximum: this.topicAliasMaximum,
      persistent: this.persistent,
      cursor: this.behind ?? head,
      sharedReceived: this.sharedSent,
      grants: this.grants,
      subscriptions: [...this.subscriptions.values()],
      inflight: [...this.inflight.values()],
    });
    return to.length <= bytesMax ? to.take() : undefined;
  }
}

/** Negative when `a` is the earlier of two connections, or of two links of one connection. */
export function compareFences(a: Fence & { linkNumber: number }, b: Fence & { linkNumber: number }): number {
  return a.generation - b.generation || a.epoch - b.epoch || a.linkNumber - b.linkNumber;
}
