/**
 * A topic shard's rules: what happens to a message from the moment that it arrives until its subscribers have it.
 *
 * A turn is one frame of one link. Everything that it causes is worked out in memory, committed, and only then sent:
 * no answer leaves before the log owns what it answers for. The links of connections are the only way in, but for wills
 * and wipes, which session objects hand over.
 *
 * What the shard forgets when it restarts it has stored, of sessions that outlive their connections, or their connections
 * remember: they say hello again and bring their subscriptions, their place in the log and what is in flight. Until they
 * had time to do so the shard is *recovering*: it logs every QoS > 0 message, wanted or not, and trims nothing
 * ({@link Grace}).
 */

import { ByteReader, LinkFormatError } from "../../link/bytes.ts";
import type { Departed, HelloRecord, ShardBound, SubscriptionRecord } from "../../link/records.ts";
import * as records from "../../link/records.ts";
import { SILENCE_MAX_MS, STILL_HERE_MS } from "../../link/ping.ts";
import type { Message } from "../../mqtt/message.ts";
import { Reason } from "../../mqtt/reason.ts";
import type { Attendance, Subscription, SubscriptionChange } from "./attendance.ts";
import { Dispatch } from "./dispatch.ts";
import { Fanout } from "./fanout.ts";
import { Grace } from "./grace.ts";
import { Log } from "./log.ts";
import { Outbox, Outlet } from "./outlet.ts";
import { Pace } from "./pace.ts";
import { Places } from "./place.ts";
import { Pump } from "./pump.ts";
import { Queues } from "./queues.ts";
import { Received } from "./received.ts";
import { Retained } from "./retained.ts";
import { Roster, type RosterConfig } from "./roster.ts";
import type { ShareGroup } from "./share-group.ts";
import { ShareGroups } from "./share-groups.ts";
import { SharePump } from "./share-pump.ts";
import type { ShareStrategy } from "./share-strategy.ts";
import type { ShardStore } from "./store.ts";
import { SubscriptionTree } from "./subscription-tree.ts";

/** How long a change may stay unsaved in memory, and so how long an idle object stays awake for it. */
export const CHECKPOINT_MS = 1_000;
/** How often it is told at most what was dropped; an object stays awake for so long to tell it. */
const TELL_MS = 10_000;
/** What a link's socket may remember; a session with more says hello again when the object wakes. */
const REMEMBERED_BYTES_MAX = 1024;
/** A session object asks again about a will for far less long than this, and a connection comes back sooner. */
const NOTES_KEPT_MS = 24 * 3600 * 1000;

export type ShardEffect =
  | { readonly type: "send"; readonly link: number; readonly frame: Uint8Array }
  | { readonly type: "close"; readonly link: number }
  /**
   * Keep with the link's socket what is needed to know it again after a sleep. Undefined: it has to say hello again; nothing:
   * it is over.
   */
  | { readonly type: "remember"; readonly link: number; readonly hello: Uint8Array | undefined }
  /**
   * Since the last time so many QoS 0 messages were dropped, for sessions that did not take what was under way to them, and
   * so many were delivered and not retained.
   */
  | { readonly type: "dropped"; readonly qos0: number; readonly notRetained: number }
  /** Messages that sessions were owed are gone: something worth a log line. */
  | { readonly type: "report"; readonly why: string; readonly messages: number; readonly sessions: number };

export interface ShardConfig extends RosterConfig {
  readonly shareStrategy: ShareStrategy;
}

/** What was lost or refused, for whoever watches. */
export interface ShardCounters {
  qos0Dropped: number;
  /** Messages that were delivered and not retained, as there were too many. */
  notRetained: number;
  /** QoS > 0 messages that sessions lost to a limit. */
  overflowed: number;
}

export class Shard {
  readonly counters: ShardCounters = { qos0Dropped: 0, notRetained: 0, overflowed: 0 };
  readonly #config: ShardConfig;
  readonly #store: ShardStore;
  readonly #log: Log;
  readonly #retained: Retained;
  readonly #received: Received;
  readonly #outbox = new Outbox();
  readonly #places: Places;
  readonly #pump: Pump;
  readonly #pace = new Pace(this.#outbox);
  readonly #grace: Grace;
  readonly #roster: Roster;
  readonly #queues: Queues;
  readonly #dispatch: Dispatch;
  readonly #groups: ShareGroups;
  readonly #sharePump: SharePump;
  /** Sessions that may have more delivered when this turn's messages are committed. */
  readonly #pumping = new Set<Attendance>();
  /** What waits for these sessions was too much for one turn. */
  readonly #unfinished = new Set<Attendance>();
  #goOnAt: number | undefined;
  /** Sessions whose idle grants are asked back. */
  readonly #recalled = new Map<Attendance, number>();
  /** Sessions whose links remember what is out of date. */
  readonly #dirty = new Set<Attendance>();
  #effects: ShardEffect[] = [];
  /** Links to close after what is sent to them. */
  #closing: number[] = [];
  #checkpointAt: number | undefined;
  #sweepNotesAt: number | undefined;
  /** When the links that the log is kept for are looked at. */
  #lookAt: number;
  /** When a link's automatic ping was last answered, in ms since 1970. */
  readonly #lastPingAt: (link: number) => number | undefined;
  /** As much of what was dropped as was told of. */
  #told = { qos0: 0, notRetained: 0 };
  #tellAt = 0;
  /** Nothing more is stored until something goes. */
  #full = false;

  /**
   * @param links the sockets that the object woke with, and what was remembered with them
   * @param lastPingAt when a link's automatic ping was last answered, in ms since 1970; asked for only by the alarm
   */
  constructor(
    config: ShardConfig,
    store: ShardStore,
    links: readonly { readonly link: number; readonly hello: Uint8Array | undefined }[],
    lastPingAt: (link: number) => number | undefined,
    now: number,
  ) {
    const { limits } = config;
    this.#lastPingAt = lastPingAt;
    this.#lookAt = now + STILL_HERE_MS;
    this.#config = config;
    this.#store = store;
    const log = new Log(store);
    const retained = new Retained(store, limits);
    const received = new Received(store);
    const places = new Places(store, log);
    const tree = new SubscriptionTree<Attendance | ShareGroup, Subscription | undefined>();
    const fanout = new Fanout(tree);
    const outbox = this.#outbox;
    const grace = new Grace(store, links.length === 0, now);
    const report = (why: string, messages: number, sessions: number): void => {
      this.counters.overflowed += messages;
      this.#effects.push({ type: "report", why, messages, sessions });
    };
    const gone = (messages = 1): void => report("gone before it was acknowledged", messages, 1);
    const pump = new Pump({ log, retained, fanout, outbox, places }, limits.deliveryBacklogBytesMax, gone);
    const groups = new ShareGroups({ store, log, tree, fanout, places });
    const sharePump = new SharePump(
      { log, outbox, pump, groups },
      config.shareStrategy,
      limits.deliveryBacklogBytesMax,
      (attendance, at) => this.#touch(attendance, at),
    );
    const parts = { store, log, tree, fanout, received, retained, places, groups, grace, pace: this.#pace };
    this.#groups = groups;
    this.#sharePump = sharePump;
    this.#log = log;
    this.#retained = retained;
    this.#received = received;
    this.#places = places;
    this.#grace = grace;
    this.#pump = pump;
    this.#roster = new Roster(config, parts, (link) => this.#closing.push(link), gone);
    this.#queues = new Queues({ log, fanout, groups, roster: this.#roster }, limits, report);
    this.#dispatch = new Dispatch(
      { log, retained, fanout, outbox, pump, sharePump, grace },
      {
        unsaved: (at) => this.#checkpointSoon(at),
        touch: (attendance, at) => this.#touch(attendance, at),
        behind: (attendance) => this.#pumping.add(attendance),
        groupBehind: (group) => groups.owed.add(group),
        dropped: () => (this.counters.qos0Dropped += 1),
        notRetained: () => (this.counters.notRetained += 1),
      },
      limits.deliveryBacklogBytesMax,
    );
    if (store.hasNotes()) this.#sweepNotesAt = now + NOTES_KEPT_MS;
    this.#full = store.bytes >= limits.shardBytesMax;
    let forgotten = false;
    for (const { link, hello } of links) {
      const attendance = hello && hello.length > 0 ? this.#roster.wake(link, hello, now) : undefined;
      if (attendance) this.#pumping.add(attendance);
      else this.#closing.push(link);
      forgotten ||= hello === undefined;
    }
    // A link that is told to come back brings a session that is not remembered here until then.
    if (forgotten) this.#grace.begin(now);
  }

  /** When {@link tick} has to be called; an object that has none may sleep. */
  get deadline(): number | undefined {
    const tellAt = this.#hasDropped ? this.#tellAt : Infinity;
    const saveAt = Math.min(this.#checkpointAt ?? Infinity, this.#goOnAt ?? Infinity);
    const at = Math.min(this.#pace.deadline ?? Infinity, saveAt, tellAt);
    return at === Infinity ? undefined : at;
  }

  /** When {@link alarm} has to be called, asleep or not. */
  get alarmAt(): number | undefined {
    const times = [this.#sweepNotesAt, this.#roster.nextEnd, this.#queues.nextExpiry];
    if (!this.#log.empty || this.#received.any || this.#grace.awaits) times.push(this.#grace.until);
    if (!this.#log.empty) times.push(this.#lookAt);
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
      this.#roster.lose(link, now);
    }
    const from = this.#roster.at(link);
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
    else this.#roster.lose(link, now);
    return this.#settle(now);
  }

  /** Stores what is unsaved, and trims the log. */
  tick(now: number): readonly ShardEffect[] {
    this.#pace.tick(now);
    if (this.#goOnAt !== undefined) this.#goOn();
    if (this.#checkpointAt !== undefined && now >= this.#checkpointAt) {
      this.#checkpointAt = undefined;
      this.#checkpoint(now);
    }
    return this.#settle(now);
  }

  /** Ends what has been offline for too long. A late or a second call does no harm. */
  alarm(now: number): readonly ShardEffect[] {
    if (this.#sweepNotesAt !== undefined) {
      this.#store.sweepNotes(now - NOTES_KEPT_MS);
      this.#sweepNotesAt = this.#store.hasNotes() ? now + NOTES_KEPT_MS : undefined;
    }
    if (now >= this.#lookAt) this.#look(now);
    this.#grace.conclude(now);
    this.#checkpoint(now);
    return this.#settle(now);
  }

  /**
   * Publishes a will, once: it comes after everything of its connection, whose link is closed if it still is open, and
   * a second call is only answered.
   */
  publishWill(of: Departed, will: Message, now: number): readonly ShardEffect[] {
    this.#roster.over(will.publisher, of);
    this.#store.transaction(() => {
      if (!this.#store.markWillDone(will.publisher, of, now)) return;
      this.#sweepNotesAt ??= now + NOTES_KEPT_MS;
      this.#dispatch.publish({ ...will, at: now }, now);
      this.#log.commit(now);
    });
    return this.#settle(now);
  }

  /** Forgets a generation of a session and those before it. A second call does no harm. */
  wipe(session: string, generation: number, now: number): readonly ShardEffect[] {
    this.#store.transaction(() => {
      this.#roster.wipe(session, generation);
      this.#store.putEnded(session, generation, now);
    });
    this.#sweepNotesAt ??= now + NOTES_KEPT_MS;
    this.#checkpointSoon(now);
    return this.#settle(now);
  }

  #record(link: number, record: ShardBound, now: number): void {
    if (record.kind === records.Kind.Hello) {
      this.#hello(link, record, now);
      return;
    }
    const from = this.#roster.at(link);
    // A link that was fenced off or refused may still bring frames: nobody waits for an answer to them.
    if (!from) return;
    switch (record.kind) {
      case records.Kind.Publish: {
        const reason = this.#publish(from, record.packetId, { ...record.body, at: now, publisher: from.session }, now);
        if (record.packetId > 0) {
          records.writePublished(this.#outbox.records(from.outlet!), record.packetId, reason);
        }
        return;
      }
      case records.Kind.Release:
        this.#received.release(from.session, record.packetId);
        records.writeReleased(this.#outbox.records(from.outlet!), record.packetId);
        return;
      case records.Kind.Ack:
        from.inflight.delete(record.packetId);
        this.#groups.acknowledged(from, record.packetId);
        this.#touch(from, now);
        return;
      case records.Kind.Received:
        this.#receivedBy(from, record.packetId, now);
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
        if (from.mustHold(record)) {
          from.held.push(record);
          this.#touch(from, now);
        } else this.#change(from, record, now);
        return;
      case records.Kind.Drained:
        from.outlet!.drained();
        this.#pumping.add(from);
        return;
      case records.Kind.Echoed:
        this.#pace.echoed(from.outlet, now);
        return;
      case records.Kind.Bye:
        this.#roster.leave(from);
        this.#checkpointSoon(now);
        // The connection waits until this frame is taken, and closes the link itself.
        this.#effects.push({ type: "remember", link, hello: OVER }, { type: "send", link, frame: TAKEN });
        return;
      default:
        throw new LinkFormatError("not a record for a shard");
    }
  }

  #hello(link: number, hello: HelloRecord, now: number): void {
    const attendance = this.#roster.hello(link, hello, now);
    if (typeof attendance === "number") {
      records.writeRefused(this.#outbox.records(new Outlet(link)), attendance);
      this.#closing.push(link);
      return;
    }
    if (attendance.persistent && hello.cursor === undefined) this.#queues.limit(attendance, now);
    for (const group of attendance.groups) if (!group.hasOther(attendance)) this.#queues.limit(group, now);
    records.writeAttached(this.#outbox.records(attendance.outlet!), this.#roster.answer(attendance, hello));
    this.#touch(attendance, now);
    this.#pumping.add(attendance);
  }

  // Messages.

  /** Publishes a message, unless it was taken before [MQTT-4.3.3-10]. Returns what its publisher is told. */
  #publish(from: Attendance, packetId: number, message: Message, now: number): Reason {
    if (this.#full && (message.qos > 0 || message.retain)) return Reason.QuotaExceeded;
    if (
      message.retain &&
      message.qos > 0 &&
      !this.#retained.admits(message) &&
      !this.#took(from, packetId, message.qos)
    ) {
      return Reason.QuotaExceeded;
    }
    if (message.qos < 2 || this.#takes(from, packetId)) this.#dispatch.publish(message, now);
    return Reason.Success;
  }

  /** True of a QoS 2 message that was taken before, and so is not to be refused any more. */
  #took(from: Attendance, packetId: number, qos: number): boolean {
    return qos === 2 && this.#received.ids(from.session).includes(packetId);
  }

  /** Takes a QoS 2 message. Returns false when it was taken before. */
  #takes(from: Attendance, packetId: number): boolean {
    if (from.persistent) this.#places.keep(from);
    else this.#grace.attached();
    return this.#received.take(from, packetId);
  }

  /** A client has received a delivery of QoS 2: from now on it is sent PUBREL and never PUBLISH [MQTT-4.3.3-6]. */
  #receivedBy(client: Attendance, packetId: number, now: number): void {
    const delivery = client.inflight.get(packetId);
    if (delivery) delivery.phase = records.Phase.Received;
    this.#places.exact(client);
    this.#touch(client, now);
    records.writeRecorded(this.#outbox.records(client.outlet!), packetId);
  }

  // Subscriptions.

  #change(by: Attendance, change: SubscriptionChange, now: number): void {
    this.#touch(by, now);
    if (change.kind === records.Kind.Subscribe) {
      const codes = change.subscriptions.map((subscription) => this.#subscribe(by, subscription));
      const { head } = this.#log;
      records.writeSubscribed(this.#outbox.records(by.outlet!), change.request, head, by.behind ?? head, codes);
      this.#pumping.add(by);
    } else {
      const codes = change.filters.map((filter) =>
        this.#roster.unsubscribe(by, filter) ? Reason.Success : Reason.NoSubscriptionExisted,
      );
      records.writeUnsubscribed(this.#outbox.records(by.outlet!), change.request, codes);
    }
  }

  #subscribe(by: Attendance, wanted: SubscriptionRecord): number {
    if (this.#full && by.persistent) return Reason.QuotaExceeded;
    const { scan } = this.#roster.subscribe(by, wanted);
    return wanted.qos | (scan ? records.RETAINED_FOLLOW : 0);
  }

  // Saving.

  /** The session changed: what is remembered of it is out of date until the next checkpoint. */
  #touch(attendance: Attendance, now: number): void {
    this.#checkpointSoon(now);
    this.#roster.touched(attendance, now);
    if (attendance.dirty || !attendance.outlet) return;
    attendance.dirty = true;
    this.#dirty.add(attendance);
    this.#effects.push({ type: "remember", link: attendance.outlet.link, hello: undefined });
  }

  #checkpointSoon(now: number): void {
    this.#checkpointBy(now + CHECKPOINT_MS);
  }

  #checkpointBy(at: number): void {
    this.#checkpointAt = Math.min(this.#checkpointAt ?? Infinity, at);
  }

  #checkpoint(now: number): void {
    this.#roster.endOffline(now);
    this.#retained.save();
    for (const attendance of this.#dirty) {
      attendance.dirty = false;
      if (!attendance.outlet) continue;
      const hello = attendance.remember(this.#log.head, REMEMBERED_BYTES_MAX);
      if (hello) this.#effects.push({ type: "remember", link: attendance.outlet.link, hello });
    }
    this.#dirty.clear();
    const recovering = this.#grace.recovering(now);
    if (!recovering) this.#groups.conclude();
    this.#groups.checkpoint();
    if (!recovering) this.#received.sweep((session) => this.#roster.get(session) !== undefined);
    if (!this.#roster.hasTransient) this.#grace.nobody(now);
    const unfinished = this.#queues.trim(recovering, now);
    if (unfinished !== undefined) this.#checkpointBy(unfinished);
    // After trimming: what is not in the log any more need not be remembered as delivered.
    const unsaved = this.#places.checkpoint(now);
    if (unsaved !== undefined) this.#checkpointBy(unsaved);
    this.#full = this.#store.bytes >= this.#config.limits.shardBytesMax;
  }

  /** Is somebody at the other end of the links that the log is kept for? A close may never have come. */
  #look(now: number): void {
    this.#lookAt = now + STILL_HERE_MS;
    for (const attendance of this.#roster.owing) {
      const { outlet, attachedAt } = attendance;
      if (!outlet || !attendance.owes) continue;
      if (now - Math.max(attachedAt, this.#lastPingAt(outlet.link) ?? 0) <= SILENCE_MAX_MS) continue;
      this.#closing.push(outlet.link);
      this.#roster.lose(outlet.link, now);
    }
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
  #commit(now: number): void {
    if (!this.#received.unsaved) {
      this.#log.commit(now);
      return;
    }
    this.#store.transaction(() => {
      this.#log.commit(now);
      this.#received.save();
    });
  }

  /** Goes on with what the turn before had to leave. */
  #goOn(): void {
    this.#goOnAt = undefined;
    for (const attendance of this.#unfinished) this.#pumping.add(attendance);
    this.#unfinished.clear();
    for (const group of this.#groups.all) if (group.owed) this.#groups.owed.add(group);
  }

  /** There is something that was not told of. */
  get #hasDropped(): boolean {
    return this.counters.qos0Dropped > this.#told.qos0 || this.counters.notRetained > this.#told.notRetained;
  }

  #tellDropped(now: number): void {
    const { qos0Dropped: qos0, notRetained } = this.counters;
    const told = this.#told;
    this.#effects.push({ type: "dropped", qos0: qos0 - told.qos0, notRetained: notRetained - told.notRetained });
    this.#told = { qos0, notRetained };
    this.#tellAt = now + TELL_MS;
  }

  #settle(now: number): readonly ShardEffect[] {
    this.#commit(now);
    this.#log.rest();
    for (const attendance of this.#pumping) {
      this.#catchUp(attendance, now);
      if (this.#log.tired && attendance.behind !== undefined) this.#unfinished.add(attendance);
    }
    for (const { groups } of this.#pumping) for (const group of groups) if (group.owed) this.#groups.owed.add(group);
    this.#pumping.clear();
    for (const group of this.#groups.owed) this.#sharePump.run(group, now);
    this.#groups.owed.clear();
    if (this.#log.tired) this.#goOnAt = now;
    for (const [attendance, count] of this.#recalled) this.#giveBack(attendance, count, now);
    this.#recalled.clear();
    this.#places.save(now);
    this.#groups.save(this.#grace.recovering(now));
    this.#outbox.flush((link, frame) => this.#effects.push({ type: "send", link, frame }));
    if (this.#hasDropped && now >= this.#tellAt) this.#tellDropped(now);
    for (const link of this.#closing.splice(0)) this.#effects.push({ type: "close", link });
    return this.#effects.splice(0);
  }
}

const TAKEN = Uint8Array.of(records.Kind.Taken);
/** What is remembered with a link whose connection is over. */
const OVER = new Uint8Array(0);
