/**
 * A topic shard's rules: what happens to a message from the moment that it arrives until its subscribers have it.
 *
 * A turn is one frame of one link. Everything that it causes is worked out in memory, committed, and only then sent:
 * no answer leaves before the log owns what it answers for. The links of connections are the only way in, but for wills,
 * which the session object hands over when everything that the client published has been taken.
 *
 * What the shard forgets when it restarts its connections remember: they say hello again and bring their subscriptions,
 * their place in the log and what is in flight. Until they had time to do so the shard is *recovering*: it logs every
 * QoS > 0 message, wanted or not, and trims nothing ({@link Grace}).
 */

import { ByteReader, LinkFormatError } from "../../link/bytes.ts";
import type { AttachedSubscription, Fence, HelloRecord, ShardBound, SubscriptionRecord } from "../../link/records.ts";
import * as records from "../../link/records.ts";
import type { Message } from "../../mqtt/message.ts";
import { Reason } from "../../mqtt/reason.ts";

import type { Limits } from "../limits.ts";
import { Attendance, compareFences, type Subscription, type SubscriptionChange } from "./attendance.ts";
import { Dispatch } from "./dispatch.ts";
import { Fanout } from "./fanout.ts";
import { Grace, GRACE_MS } from "./grace.ts";
import { Log } from "./log.ts";
import { Outbox, Outlet } from "./outlet.ts";
import { Pace } from "./pace.ts";
import { Pump } from "./pump.ts";
import { Received } from "./received.ts";
import { Retained } from "./retained.ts";
import type { ShardStore } from "./store.ts";
import { SubscriptionTree } from "./subscription-tree.ts";

/** How long a change may stay unsaved in memory, and so how long an idle object stays awake for it. */
export const CHECKPOINT_MS = 1_000;
/** What a link's socket may remember; a session with more says hello again when the object wakes. */
const REMEMBERED_BYTES_MAX = 1024;
/** A session object asks again about a will for far less long than this. */
const WILL_DONE_KEPT_MS = 24 * 3600 * 1000;

export type ShardEffect =
  | { readonly type: "send"; readonly link: number; readonly frame: Uint8Array }
  | { readonly type: "close"; readonly link: number }
  /** Keep with the link's socket what is needed to know it again after a sleep; undefined: it has to say hello again. */
  | { readonly type: "remember"; readonly link: number; readonly hello: Uint8Array | undefined };

export interface ShardConfig {
  /** This shard's number. */
  readonly shard: number;
  readonly tenant: string;
  readonly limits: Limits;
}

/** What was lost or refused, for whoever watches. */
export interface ShardCounters {
  qos0Dropped: number;
  /** QoS > 0 messages that a session lost because the log was full. */
  overflowed: number;
}

export class Shard {
  readonly counters: ShardCounters = { qos0Dropped: 0, overflowed: 0 };
  readonly #config: ShardConfig;
  readonly #store: ShardStore;
  readonly #log: Log;
  readonly #retained: Retained;
  readonly #tree = new SubscriptionTree<Attendance, Subscription>();
  readonly #fanout = new Fanout(this.#tree);
  readonly #received: Received;
  readonly #outbox = new Outbox();
  readonly #pump: Pump;
  readonly #pace = new Pace(this.#outbox);
  readonly #attendances = new Map<string, Attendance>();
  /** Links that said hello. */
  readonly #links = new Map<number, Attendance>();
  /** Sessions whose link is lost. */
  readonly #offline = new Set<Attendance>();
  /** Sessions that may have more delivered when this turn's messages are committed. */
  readonly #pumping = new Set<Attendance>();
  /** Sessions whose idle grants are asked back. */
  readonly #recalled = new Map<Attendance, number>();
  #effects: ShardEffect[] = [];
  /** Links to close after what is sent to them. */
  #closing: number[] = [];
  readonly #grace: Grace;
  readonly #dispatch: Dispatch;
  #checkpointAt: number | undefined;
  #sweepWillsAt: number | undefined;

  /**
   * @param links the sockets that the object woke with, and what was remembered with them
   */
  constructor(
    config: ShardConfig,
    store: ShardStore,
    links: readonly { readonly link: number; readonly hello: Uint8Array | undefined }[],
    now: number,
  ) {
    this.#config = config;
    this.#store = store;
    this.#log = new Log(store, config.limits.logBytesMax);
    this.#retained = new Retained(store);
    this.#received = new Received(store);
    this.#pump = new Pump(
      { log: this.#log, retained: this.#retained, fanout: this.#fanout, outbox: this.#outbox },
      config.limits.deliveryBacklogBytesMax,
    );
    this.#grace = new Grace(store, links.length === 0, now);
    this.#dispatch = new Dispatch(
      {
        log: this.#log,
        retained: this.#retained,
        fanout: this.#fanout,
        outbox: this.#outbox,
        pump: this.#pump,
        grace: this.#grace,
      },
      {
        unsaved: (at) => this.#checkpointSoon(at),
        touch: (attendance, at) => this.#touch(attendance, at),
        behind: (attendance) => this.#pumping.add(attendance),
        dropped: () => (this.counters.qos0Dropped += 1),
      },
      config.limits.deliveryBacklogBytesMax,
    );
    if (store.hasWillsDone()) this.#sweepWillsAt = now + WILL_DONE_KEPT_MS;
    for (const { link, hello } of links) {
      if (hello) this.#wake(link, hello, now);
      else this.#closing.push(link);
    }
    // A link that is told to come back brings a session that is not remembered here until then.
    if (this.#closing.length > 0) this.#grace.begin(now);
  }

  /** When {@link tick} has to be called; an object that has none may sleep. */
  get deadline(): number | undefined {
    const paced = this.#pace.deadline;
    if (paced === undefined || this.#checkpointAt === undefined) return paced ?? this.#checkpointAt;
    return Math.min(paced, this.#checkpointAt);
  }

  /** When {@link alarm} has to be called, asleep or not. */
  get alarmAt(): number | undefined {
    const times = [this.#sweepWillsAt];
    if (!this.#log.empty || this.#received.any) times.push(this.#grace.until);
    for (const attendance of this.#offline) if (this.#keeps(attendance)) times.push(attendance.offlineUntil);
    const known = times.filter((time) => time !== undefined);
    return known.length > 0 ? Math.min(...known) : undefined;
  }

  /** What the constructor found to do. */
  start(now: number): readonly ShardEffect[] {
    return this.#settle(now);
  }

  frame(link: number, frame: Uint8Array, now: number): readonly ShardEffect[] {
    let published = false;
    try {
      const reader = new ByteReader(frame);
      while (!reader.done) {
        const record = records.readRecord(reader, now) as ShardBound;
        published ||= record.kind === records.Kind.Publish;
        this.#record(link, record, now);
      }
    } catch (error) {
      if (!(error instanceof LinkFormatError)) throw error;
      this.#closing.push(link);
      this.#lose(link, now);
    }
    const from = this.#links.get(link);
    if (from) this.#pace.taken(from, published, now);
    return this.#settle(now);
  }

  /**
   * A link's socket closed. Its connection may be on its way back.
   *
   * @param link undefined when it closed while the object slept, and so was not among those that it woke with
   */
  closed(link: number | undefined, now: number): readonly ShardEffect[] {
    if (link === undefined) this.#grace.begin(now);
    else this.#lose(link, now);
    return this.#settle(now);
  }

  /** Stores what is unsaved, and trims the log. */
  tick(now: number): readonly ShardEffect[] {
    this.#pace.tick(now);
    if (this.#checkpointAt !== undefined && now >= this.#checkpointAt) {
      this.#checkpointAt = undefined;
      this.#checkpoint(now);
    }
    return this.#settle(now);
  }

  /** Ends what has been offline for too long. A late or a second call does no harm. */
  alarm(now: number): readonly ShardEffect[] {
    if (this.#sweepWillsAt !== undefined) {
      this.#store.sweepWillsDone(now - WILL_DONE_KEPT_MS);
      this.#sweepWillsAt = this.#store.hasWillsDone() ? now + WILL_DONE_KEPT_MS : undefined;
    }
    this.#grace.conclude(now);
    this.#checkpoint(now);
    return this.#settle(now);
  }

  /**
   * Publishes a will, once: it comes after everything of its connection, whose link is closed if it still is open, and
   * a second call with the same fence is only answered.
   */
  publishWill(fence: Fence, will: Message, now: number): readonly ShardEffect[] {
    const attendance = this.#attendances.get(will.publisher);
    if (attendance && attendance.generation <= fence.generation && attendance.epoch <= fence.epoch) {
      if (attendance.outlet) this.#closing.push(attendance.outlet.link);
      this.#end(attendance);
    }
    this.#store.transaction(() => {
      if (!this.#store.markWillDone(will.publisher, fence.epoch, now)) return;
      this.#sweepWillsAt ??= now + WILL_DONE_KEPT_MS;
      this.#dispatch.publish({ ...will, at: now }, now);
      this.#log.commit();
    });
    return this.#settle(now);
  }

  #record(link: number, record: ShardBound, now: number): void {
    if (record.kind === records.Kind.Hello) {
      this.#hello(link, record, now);
      return;
    }
    const from = this.#links.get(link);
    // A link that was fenced off or refused may still bring frames: nobody waits for an answer to them.
    if (!from) return;
    switch (record.kind) {
      case records.Kind.Publish:
        // What was taken before is only answered again [MQTT-4.3.3-10].
        if (record.body.qos < 2 || this.#takes(from, record.packetId)) {
          this.#dispatch.publish({ ...record.body, at: now, publisher: from.session }, now);
        }
        if (record.packetId > 0) {
          records.writePublished(this.#outbox.records(from.outlet!), record.packetId, Reason.Success);
        }
        return;
      case records.Kind.Release:
        this.#received.release(from.session, record.packetId);
        records.writeReleased(this.#outbox.records(from.outlet!), record.packetId);
        return;
      case records.Kind.Ack:
        from.inflight.delete(record.packetId);
        this.#touch(from, now);
        return;
      case records.Kind.Grant:
        from.grants += record.count;
        from.hungry = false;
        this.#touch(from, now);
        this.#pumping.add(from);
        return;
      case records.Kind.Recall:
        this.#recalled.set(from, record.count);
        return;
      case records.Kind.Subscribe:
      case records.Kind.Unsubscribe:
        if (from.mustHold(record)) from.held.push(record);
        else this.#change(from, record, now);
        return;
      case records.Kind.Drained:
        from.outlet!.drained();
        this.#pumping.add(from);
        return;
      case records.Kind.Echoed:
        this.#pace.echoed(from.outlet, now);
        return;
      case records.Kind.Bye:
        this.#end(from);
        this.#checkpointSoon(now);
        // The connection waits until this frame is taken, and closes the link itself.
        this.#effects.push({ type: "send", link, frame: TAKEN });
        return;
      default:
        throw new LinkFormatError("not a record for a shard");
    }
  }

  // Links.

  #hello(link: number, hello: HelloRecord, now: number): void {
    const previous = this.#attendances.get(hello.session);
    const refusal = this.#refusal(hello, previous, now);
    if (refusal !== undefined) {
      this.#refuse(link, refusal);
      return;
    }
    if (previous?.outlet) this.#closing.push(previous.outlet.link);
    if (previous) this.#forget(previous);
    const attendance = this.#attend(link, hello);
    this.#received.attached(hello);
    records.writeAttached(this.#outbox.records(attendance.outlet!), records.LINK_VERSIONS.max, this.#log.head);
    this.#touch(attendance, now);
    this.#pumping.add(attendance);
  }

  #refusal(hello: HelloRecord, previous: Attendance | undefined, now: number): Reason | undefined {
    const { min, max } = records.LINK_VERSIONS;
    if (hello.versionMin > max || hello.versionMax < min) return Reason.ServerShuttingDown;
    if (this.#links.size >= this.#config.limits.shardLinksMax && !previous?.outlet) return Reason.QuotaExceeded;
    const placement = this.#store.placement();
    if (!placement) this.#store.putPlacement({ shards: hello.shards, depth: hello.depth });
    else if (placement.shards !== hello.shards || placement.depth !== hello.depth) return Reason.ServerShuttingDown;
    if (hello.tenant !== this.#config.tenant) return Reason.ImplementationSpecificError;
    const fenced = previous && compareFences({ ...hello, linkNumber: hello.link }, previous) < 0;
    // A connection whose will is published has no more to say, however late it comes back.
    if (fenced || this.#received.fences(hello) || hello.epoch <= this.#store.willDoneEpoch(hello.session))
      return Reason.SessionTakenOver;
    // A session that was given up comes back too late: what it missed may be gone from the log.
    const missed = hello.cursor !== undefined && hello.subscriptions.some(({ qos }) => qos > 0);
    return missed && !previous && !this.#grace.recovering(now) ? Reason.ImplementationSpecificError : undefined;
  }

  #refuse(link: number, reason: Reason): void {
    const to = this.#outbox.records(new Outlet(link));
    records.writeRefused(to, reason);
    this.#closing.push(link);
  }

  /** Takes a session in as its hello describes it. */
  #attend(link: number, hello: HelloRecord): Attendance {
    const attendance = new Attendance(hello, this.#config.shard);
    attendance.outlet = new Outlet(link);
    if (hello.cursor !== undefined && this.#log.holdsAfter(hello.cursor)) attendance.behind = hello.cursor;
    this.#attendances.set(attendance.session, attendance);
    this.#links.set(link, attendance);
    for (const subscription of hello.subscriptions) this.#put(attendance, subscription);
    return attendance;
  }

  /** Takes a session in again whose link outlasted the object's sleep. */
  #wake(link: number, remembered: Uint8Array, now: number): void {
    const attendance = this.#attend(link, records.readRecord(new ByteReader(remembered), now) as HelloRecord);
    this.#pumping.add(attendance);
  }

  /** A session's link is gone without a word: for a while it counts as offline, and what it wants is logged. */
  #lose(link: number, now: number): void {
    const attendance = this.#links.get(link);
    this.#links.delete(link);
    if (!attendance || attendance.outlet?.link !== link) return;
    this.#pace.gone(attendance.outlet);
    attendance.outlet = undefined;
    attendance.offlineUntil = now + GRACE_MS;
    this.#offline.add(attendance);
    if (!this.#keeps(attendance)) return;
    if (attendance.subscriptions.size > 0) attendance.behind ??= this.#log.head;
    this.#grace.begin(now);
  }

  /** True when something is kept for a session that is offline. */
  #keeps({ session, subscriptions }: Attendance): boolean {
    return subscriptions.size > 0 || this.#received.holds(session);
  }

  /** The session has ended. */
  #end(attendance: Attendance): void {
    this.#forget(attendance);
    this.#received.forget(attendance.session);
  }

  /** The session has ended here, or lives on under another link. */
  #forget(attendance: Attendance): void {
    for (const filter of attendance.subscriptions.keys()) this.#tree.delete(filter, attendance);
    if (attendance.subscriptions.size > 0) this.#fanout.changed();
    if (attendance.outlet) this.#links.delete(attendance.outlet.link);
    this.#pace.gone(attendance.outlet);
    attendance.outlet = undefined;
    this.#offline.delete(attendance);
    if (this.#attendances.get(attendance.session) === attendance) this.#attendances.delete(attendance.session);
  }

  // Subscriptions.

  #change(by: Attendance, change: SubscriptionChange, now: number): void {
    if (change.kind === records.Kind.Subscribe) {
      const codes = change.subscriptions.map((subscription) => this.#subscribe(by, subscription, now));
      records.writeSubscribed(this.#outbox.records(by.outlet!), change.request, this.#log.head, codes);
      this.#pumping.add(by);
    } else {
      const codes = change.filters.map((filter) => this.#unsubscribe(by, filter, now));
      records.writeUnsubscribed(this.#outbox.records(by.outlet!), change.request, codes);
    }
  }

  #subscribe(by: Attendance, wanted: SubscriptionRecord, now: number): number {
    const previous = by.subscriptions.get(wanted.filter);
    const asks = wanted.retainHandling === 0 || (wanted.retainHandling === 1 && !previous); // [MQTT-3.3.1-9..11]
    // One that does not ask for retained messages leaves those coming that an earlier one asked for.
    const scan = asks ? { after: 0, upTo: this.#log.head } : previous?.scan;
    const start = previous && previous.qos > 0 ? previous.start : this.#log.head;
    this.#put(by, { ...wanted, start, scan });
    this.#touch(by, now);
    return wanted.qos | (scan ? records.RETAINED_FOLLOW : 0);
  }

  #unsubscribe(by: Attendance, filter: string, now: number): Reason {
    if (!by.subscriptions.delete(filter)) return Reason.NoSubscriptionExisted;
    this.#tree.delete(filter, by);
    this.#fanout.changed();
    this.#touch(by, now);
    return Reason.Success;
  }

  #put(by: Attendance, subscription: AttachedSubscription): void {
    if (subscription.qos > 0) this.#grace.attached();
    const own: Subscription = { ...subscription };
    by.subscriptions.set(own.filter, own); // [MQTT-3.8.4-3]
    this.#tree.set(own.filter, by, own);
    this.#fanout.changed();
  }

  // Messages.

  /** Takes a QoS 2 message. Returns false when it was taken before. */
  #takes(from: Attendance, packetId: number): boolean {
    this.#grace.attached();
    return this.#received.take(from, packetId);
  }

  // Saving.

  /** The session changed: what its link's socket remembers is out of date until the next checkpoint. */
  #touch(attendance: Attendance, now: number): void {
    this.#checkpointSoon(now);
    if (attendance.dirty || !attendance.outlet) return;
    attendance.dirty = true;
    this.#effects.push({ type: "remember", link: attendance.outlet.link, hello: undefined });
  }

  #checkpointSoon(now: number): void {
    this.#checkpointAt ??= now + CHECKPOINT_MS;
  }

  #checkpoint(now: number): void {
    for (const attendance of this.#offline) if (now >= attendance.offlineUntil!) this.#end(attendance);
    this.#retained.save();
    for (const attendance of this.#attendances.values()) {
      if (!attendance.dirty || !attendance.outlet) continue;
      attendance.dirty = false;
      const hello = attendance.remember(this.#log.head, REMEMBERED_BYTES_MAX);
      if (hello) this.#effects.push({ type: "remember", link: attendance.outlet.link, hello });
    }
    if (!this.#grace.recovering(now)) this.#received.sweep((session) => this.#attendances.has(session));
    if (this.#tree.size === 0 && !this.#received.any) this.#grace.nobody(now);
    this.#trim(now);
  }

  #trim(now: number): void {
    const overflow = this.#log.overflow();
    if (overflow !== undefined) this.#release(overflow);
    if (this.#grace.recovering(now)) return;
    let needed = this.#log.head;
    for (const attendance of this.#attendances.values()) needed = Math.min(needed, attendance.needs() ?? needed);
    this.#log.trim(needed);
  }

  /** The log is full: its oldest batches go, wanted or not, and what was not delivered of them is counted. */
  #release(cut: number): void {
    for (const attendance of this.#attendances.values()) {
      if (attendance.behind !== undefined && attendance.behind < cut)
        this.counters.overflowed += cut - attendance.behind;
      attendance.release(cut);
    }
    this.#log.trim(cut);
  }

  /** Delivers what waits for a session, and then makes the changes that waited for that. */
  #catchUp(attendance: Attendance, now: number): void {
    for (;;) {
      if (this.#pump.run(attendance, now)) this.#touch(attendance, now);
      const change = attendance.behind === undefined && attendance.outlet ? attendance.held.shift() : undefined;
      if (!change) return;
      this.#change(attendance, change, now);
    }
  }

  /** Gives back grants that are left after everything that waited was delivered. */
  #giveBack(attendance: Attendance, wanted: number, now: number): void {
    if (!attendance.outlet) return;
    const count = Math.min(attendance.grants, wanted);
    attendance.grants -= count;
    this.#touch(attendance, now);
    records.writeReturned(this.#outbox.records(attendance.outlet), count);
  }

  /** Stores what this turn's answers promise, all of it or nothing. */
  #commit(): void {
    if (!this.#received.unsaved) {
      this.#log.commit();
      return;
    }
    this.#store.transaction(() => {
      this.#log.commit();
      this.#received.save();
    });
  }

  #settle(now: number): readonly ShardEffect[] {
    this.#commit();
    for (const attendance of this.#pumping) this.#catchUp(attendance, now);
    this.#pumping.clear();
    for (const [attendance, count] of this.#recalled) this.#giveBack(attendance, count, now);
    this.#recalled.clear();
    this.#outbox.flush((link, frame) => this.#effects.push({ type: "send", link, frame }));
    for (const link of this.#closing.splice(0)) this.#effects.push({ type: "close", link });
    return this.#effects.splice(0);
  }
}

const TAKEN = Uint8Array.of(records.Kind.Taken);
