/**
 * Which sessions does this shard know, and by which links? A session comes with a hello and goes with a BYE, with a wipe,
 * or after the grace of a lost link. One that outlives its connections stays, offline, until its session object has it
 * wiped; what is known of it is stored, and its subscriptions are as its hello says: the session object's list is the
 * truth, and a shard that differs from it is mended by the next hello.
 */

import { ByteReader } from "../../link/bytes.ts";
import {
  type AttachedRecord,
  type Fence,
  type GreetedSubscription,
  type HelloRecord,
  type InflightRecord,
  Kind,
  type LinkVersions,
  readRecord,
  type SubscriptionRecord,
} from "../../link/records.ts";
import * as records from "../../link/records.ts";
import { Reason } from "../../mqtt/reason.ts";
import { filterMatches, parseShare } from "../../mqtt/topic.ts";
import type { Limits } from "../limits.ts";
import { Attendance, compareFences, type Subscription } from "./attendance.ts";
import type { Fanout, FanoutTree } from "./fanout.ts";
import { type Grace, GRACE_MS } from "./grace.ts";
import type { Log } from "./log.ts";
import { Rate } from "../rate.ts";
import { Outlet } from "./outlet.ts";
import type { Pace } from "./pace.ts";
import { type Place, type Places, readPlace } from "./place.ts";
import type { Received } from "./received.ts";
import type { Retained } from "./retained.ts";
import type { ShareGroups } from "./share-groups.ts";
import type { ShardStore } from "./store.ts";

interface Parts {
  readonly store: ShardStore;
  readonly log: Log;
  readonly tree: FanoutTree;
  readonly fanout: Fanout;
  readonly received: Received;
  readonly retained: Retained;
  readonly places: Places;
  readonly groups: ShareGroups;
  readonly grace: Grace;
  readonly pace: Pace;
}

/** As much of QoS 0 as may come at once, in seconds of what may come for ever. */
const QOS0_BURST_SECONDS = 2;

export interface RosterConfig {
  /** This shard's number. */
  readonly shard: number;
  readonly tenant: string;
  readonly limits: Limits;
  readonly linkVersions: LinkVersions;
}

export class Roster {
  readonly #config: RosterConfig;
  readonly #parts: Parts;
  /** Closes a link after what is sent to it. */
  readonly #close: (link: number) => void;
  /** A session lost so many messages to a limit. */
  readonly #lost: (messages: number) => void;
  readonly #attendances = new Map<string, Attendance>();
  /** Links that said hello. */
  readonly #links = new Map<number, Attendance>();
  /** Sessions whose link was lost: one that does not come back ends, or has left if it outlives its connections. */
  readonly #offline = new Set<Attendance>();
  /** Those of them that the object has to wake for, in the order in which they were lost and so will be given up. */
  readonly #expiring = new Set<Attendance>();
  /** Sessions that the log may have to keep something for. */
  readonly #owing = new Set<Attendance>();

  constructor(config: RosterConfig, parts: Parts, close: (link: number) => void, lost: (messages: number) => void) {
    this.#config = config;
    this.#parts = parts;
    this.#close = close;
    this.#lost = lost;
    this.#load();
  }

  /** Sessions that may need something of the log; no other does. */
  get owing(): ReadonlySet<Attendance> {
    return this.#owing;
  }

  get(session: string): Attendance | undefined {
    return this.#attendances.get(session);
  }

  /** The session that said hello over a link. */
  at(link: number): Attendance | undefined {
    return this.#links.get(link);
  }

  /** When a session is given up that something is kept for. */
  get nextEnd(): number | undefined {
    // Asked after every turn, and thousands may be lost at once: the first is the next.
    for (const attendance of this.#expiring) {
      if (this.#isKeptFor(attendance)) return attendance.offlineUntil;
      this.#expiring.delete(attendance);
    }
    return undefined;
  }

  /** True when sessions are known that nothing is stored of. */
  get hasTransient(): boolean {
    for (const attendance of this.#links.values()) {
      if (!attendance.persistent && this.#keeps(attendance)) return true;
    }
    for (const attendance of this.#offline) if (!attendance.persistent && this.#keeps(attendance)) return true;
    return false;
  }

  // Coming.

  /** Takes a session in over a link, or says why not. */
  hello(link: number, hello: HelloRecord, now: number): Attendance | Reason {
    const previous = this.#attendances.get(hello.session);
    const refusal = this.#refusal(hello, previous, now);
    if (refusal !== undefined) return refusal;
    if (previous?.outlet) this.#close(previous.outlet.link);
    return this.#attend(link, hello, now);
  }

  /** Takes a session in again whose link outlasted the object's sleep, unless a later one did too, or is known of. */
  wake(link: number, remembered: Uint8Array, now: number): Attendance | undefined {
    const hello = readRecord(new ByteReader(remembered), now) as HelloRecord;
    const previous = this.#attendances.get(hello.session);
    if (previous && isFenced(hello, previous)) return undefined;
    if (previous?.outlet) this.#close(previous.outlet.link);
    return this.#attend(link, hello, now);
  }

  /** What a connection is told when it was taken in. */
  answer(attendance: Attendance, hello: HelloRecord): Omit<AttachedRecord, "kind"> {
    const { session, behind, inflight, subscriptions } = attendance;
    const resumed = attendance.persistent && hello.cursor === undefined;
    const places = resumed
      ? [...subscriptions.values()].map(({ number, start, scan }) => ({ number, start, scan }))
      : [];
    return {
      version: records.commonVersion(this.#config.linkVersions, hello)!,
      cursor: behind ?? this.#parts.log.head,
      places,
      inflight: resumed ? [...inflight.values()] : [],
      received: resumed ? this.#parts.received.ids(session) : [],
    };
  }

  #refusal(hello: HelloRecord, previous: Attendance | undefined, now: number): Reason | undefined {
    const { store, received, grace } = this.#parts;
    if (records.commonVersion(this.#config.linkVersions, hello) === undefined) return Reason.ServerShuttingDown;
    if (this.#links.size >= this.#config.limits.shardLinksMax && !previous?.outlet) return Reason.QuotaExceeded;
    const placement = store.placement();
    if (!placement) store.putPlacement({ shards: hello.shards, depth: hello.depth });
    else if (placement.shards !== hello.shards || placement.depth !== hello.depth) return Reason.ServerShuttingDown;
    if (hello.tenant !== this.#config.tenant) return Reason.ImplementationSpecificError;
    const fenced = previous && isFenced(hello, previous);
    // A connection whose will is published has no more to say, however late it comes back; nor has a generation that is over.
    const over =
      hello.epoch <= store.willDoneEpoch(hello.session) || hello.generation <= store.endedGeneration(hello.session);
    if (fenced || over || received.fences(hello)) return Reason.SessionTakenOver;
    // A session that was given up comes back too late: what it missed may be gone from the log.
    const missed = !hello.persistent && hello.cursor !== undefined && hello.subscriptions.some(({ qos }) => qos > 0);
    return missed && !previous && !grace.recovering(now) ? Reason.ImplementationSpecificError : undefined;
  }

  #attend(link: number, hello: HelloRecord, now: number): Attendance {
    const { log, received, groups } = this.#parts;
    const previous = this.#attendances.get(hello.session);
    const earlier = previous?.persistent && previous.generation === hello.generation ? previous : undefined;
    const lost = previous ? previous.lost(hello.epoch, hello.cursor) : this.#cutFrom(hello);
    if (lost > 0) this.#lost(lost);
    const returned = previous !== undefined && groups.reconcile(previous, hello);
    if (previous) {
      if (!earlier && previous.epoch !== hello.epoch) groups.ended(previous);
      this.#forget(previous);
    }
    if (previous?.kept && !earlier) this.#parts.store.deleteSession(previous.session);
    received.attached(hello);
    const attendance = new Attendance(hello, this.#config.shard);
    const { qos0BytesRateMax: rate } = this.#config.limits;
    attendance.outlet = new Outlet(link, rate > 0 ? new Rate(rate, QOS0_BURST_SECONDS, now) : undefined);
    attendance.attachedAt = now;
    this.#attendances.set(attendance.session, attendance);
    this.#links.set(link, attendance);
    this.#owing.add(attendance);
    if (earlier && hello.cursor === undefined) {
      rewind(
        earlier,
        attendance.resume(earlier, (offset) => this.#isWanted(hello, offset)),
      );
    } else if (hello.cursor !== undefined && log.holdsAfter(hello.cursor)) attendance.behind = hello.cursor;
    for (const subscription of hello.subscriptions) this.#take(attendance, subscription, earlier);
    groups.greeted(attendance, hello, previous);
    if (attendance.persistent) this.#mend(attendance, earlier, now);
    // Its stored place must not bring again what another member may be handed.
    if (returned) this.#parts.places.exact(attendance);
    return attendance;
  }

  /**
   * How many messages a session may have lost to a limit, at most, that the shard did not know when it cut the log: nobody
   * counted for it, and what was cut cannot be looked at any more.
   */
  #cutFrom({ cursor, subscriptions }: HelloRecord): number {
    if (cursor === undefined || subscriptions.every(({ qos }) => qos === 0)) return 0;
    return Math.max(0, this.#parts.log.cutUpTo - cursor);
  }

  /** True when a subscription of the hello matches the retained message at an offset. */
  #isWanted({ subscriptions }: HelloRecord, offset: number): boolean {
    const topic = this.#parts.retained.stored(offset)?.topic;
    return topic !== undefined && subscriptions.some(({ filter }) => filterMatches(filter, topic));
  }

  /** Takes a subscription over from a hello. What only the shard knows of it is as an earlier connection left it. */
  #take(attendance: Attendance, wanted: GreetedSubscription, earlier: Attendance | undefined): void {
    const known = earlier?.subscriptions.get(wanted.filter);
    const change = {
      kind: Kind.Subscribe,
      request: 0,
      subscriptions: [{ ...wanted, retainHandling: 2 as const }],
    } as const;
    if (known && differs(known, wanted)) {
      this.#put(attendance, { ...known, number: wanted.number });
      if (attendance.mustHold(change)) {
        attendance.held.push(change);
        return;
      }
    }
    // Of what was delivered at QoS 0 nothing is owed.
    const owed = known && (known.qos > 0 || wanted.qos === 0);
    const start = wanted.start ?? (owed ? known.start : this.#parts.log.head);
    const scan = wanted.start === undefined ? known?.scan : wanted.scan;
    this.#put(attendance, { ...wanted, start, scan });
  }

  /** Makes what is stored of a session equal to what is known of it now. */
  #mend(attendance: Attendance, earlier: Attendance | undefined, now: number): void {
    const { store, places } = this.#parts;
    const { session, subscriptions } = attendance;
    if (earlier) {
      attendance.kept = earlier.kept;
      attendance.stored = earlier.stored;
      for (const filter of earlier.subscriptions.keys()) {
        if (!subscriptions.has(filter)) store.deleteSubscription(session, filter);
      }
    }
    for (const subscription of subscriptions.values()) {
      const known = earlier?.subscriptions.get(subscription.filter);
      if (!known || known.start !== subscription.start || differs(known, subscription)) {
        store.putSubscription(session, subscription);
      }
    }
    if (subscriptions.size > 0) places.keep(attendance);
    // The epoch is a fence that has to outlast a restart.
    if (earlier?.epoch !== attendance.epoch) places.exact(attendance);
    else places.changed(attendance, now);
  }

  #load(): void {
    const { store, log, groups } = this.#parts;
    const placement = store.placement();
    const scansOf = new Map<string, Place["scans"]>();
    store.sessions(({ session, generation, epoch, place }) => {
      const { cursor, inflight, scans } = readPlace(place);
      const attending = { session, generation, epoch, link: 0, persistent: true, mqttVersion: 5 } as const;
      const { tenant } = this.#config;
      const attendance = new Attendance(
        {
          ...attending,
          ...placement!,
          tenant,
          packetBytesMax: 0,
          topicAliasMaximum: 0,
          sharedReceived: 0,
          grants: 0,
          inflight,
        },
        this.#config.shard,
      );
      attendance.kept = true;
      attendance.stored = { at: 0, cursor, inflight: inflight.length, scans: scans.size };
      if (scans.size > 0) scansOf.set(session, scans);
      if (log.holdsAfter(cursor)) {
        attendance.behind = cursor;
        attendance.uncertain = true;
      }
      groups.loaded(attendance);
      this.#attendances.set(session, attendance);
      this.#owing.add(attendance);
    });
    store.subscriptions((session, subscription) => {
      const attendance = this.#attendances.get(session);
      if (attendance) this.#put(attendance, { ...subscription, scan: scansOf.get(session)?.get(subscription.filter) });
    });
  }

  // Going.

  /** A session's link is gone without a word, and its connection may be on its way back. */
  lose(link: number, now: number): void {
    const attendance = this.#links.get(link);
    this.#links.delete(link);
    if (!attendance || attendance.outlet?.link !== link) return;
    this.#detach(attendance);
    attendance.offlineUntil = now + GRACE_MS;
    this.#offline.add(attendance);
    if (this.#isKeptFor(attendance)) this.#expiring.add(attendance);
    if (attendance.persistent) {
      this.#rest(attendance);
      return;
    }
    // For a while it counts as offline, and what it wants is logged.
    if (!this.#keeps(attendance)) return;
    if (attendance.subscriptions.size > 0) attendance.behind ??= this.#parts.log.head;
    this.#parts.grace.begin(now);
  }

  /** A session's connection is over, and so is the session unless it outlives it. */
  leave(attendance: Attendance): void {
    if (!attendance.persistent) {
      this.#end(attendance);
      return;
    }
    if (attendance.outlet) this.#links.delete(attendance.outlet.link);
    this.#detach(attendance);
    this.#giveUpOn(attendance);
    this.#parts.groups.left(attendance);
    this.#rest(attendance);
  }

  /** The connection of a session is over that its session object knows as (generation, epoch). */
  over(session: string, { generation, epoch }: Fence): void {
    const attendance = this.#attendances.get(session);
    if (!attendance || attendance.generation > generation || attendance.epoch > epoch) return;
    if (attendance.outlet) this.#close(attendance.outlet.link);
    this.leave(attendance);
  }

  /** A generation of a session is over, and those before it. */
  wipe(session: string, generation: number): void {
    const attendance = this.#attendances.get(session);
    if (attendance && attendance.generation <= generation) {
      if (attendance.outlet) this.#close(attendance.outlet.link);
      this.#end(attendance);
    }
    this.#parts.received.wipe(session, generation);
  }

  /** Ends the sessions whose grace is over, or at least their connections. */
  endOffline(now: number): void {
    for (const attendance of this.#offline) {
      if (now < attendance.offlineUntil!) continue;
      this.#giveUpOn(attendance);
      if (attendance.persistent) this.#parts.groups.left(attendance);
      else this.#end(attendance);
    }
  }

  /** Something of the session changed: the log may have to keep something for it. */
  touched(attendance: Attendance, now: number): void {
    this.#owing.add(attendance);
    // Of one that is away nothing changes but where its queue begins, and what is stored says no later place than that.
    if (attendance.outlet) this.#parts.places.changed(attendance, now);
  }

  /** The session needs nothing of the log at present. */
  settled(attendance: Attendance): void {
    this.#owing.delete(attendance);
  }

  // Subscriptions.

  /** Adds a subscription, or puts it in the place of the one with the same filter [MQTT-3.8.4-3]. */
  subscribe(by: Attendance, wanted: SubscriptionRecord): Subscription {
    const previous = by.subscriptions.get(wanted.filter);
    const { head } = this.#parts.log;
    const asks =
      (wanted.retainHandling === 0 || (wanted.retainHandling === 1 && !previous)) && // [MQTT-3.3.1-9..11]
      !parseShare(wanted.filter); // [MQTT §4.8.2]
    // One that does not ask for retained messages leaves those coming that an earlier one asked for.
    const scan = asks ? { after: 0, upTo: head } : previous?.scan;
    const start = previous && previous.qos > 0 ? previous.start : head;
    const subscription = this.#put(by, { ...wanted, start, scan });
    if (by.persistent) {
      this.#parts.places.keep(by);
      this.#parts.store.putSubscription(by.session, subscription);
      // A place that is behind would bring again on other terms what was passed on the present ones.
      if (asks || (previous && differs(previous, wanted))) this.#parts.places.exact(by);
    }
    return subscription;
  }

  /** Returns false when there was none. */
  unsubscribe(by: Attendance, filter: string): boolean {
    const { tree, fanout, store, groups } = this.#parts;
    if (!by.subscriptions.delete(filter)) return false;
    if (parseShare(filter)) groups.unsubscribe(by, filter);
    else tree.delete(filter, by);
    fanout.changed();
    if (by.persistent) store.deleteSubscription(by.session, filter);
    return true;
  }

  #put(by: Attendance, subscription: Subscription): Subscription {
    if (subscription.qos > 0 && !by.persistent) this.#parts.grace.attached();
    const own = { ...subscription };
    by.subscriptions.set(own.filter, own);
    if (parseShare(own.filter)) this.#parts.groups.join(by, own);
    else this.#parts.tree.set(own.filter, by, own);
    this.#parts.fanout.changed();
    return own;
  }

  /** True when something is kept for a session that is offline. */
  #keeps({ session, subscriptions }: Attendance): boolean {
    return subscriptions.size > 0 || this.#parts.received.holds(session);
  }

  /** True when something is kept for a session that is offline and may come back, until it is given up. */
  #isKeptFor(attendance: Attendance): boolean {
    return attendance.persistent ? attendance.shared.size > 0 : this.#keeps(attendance);
  }

  /** Nobody waits for the connection of the session any more. */
  #giveUpOn(attendance: Attendance): void {
    this.#offline.delete(attendance);
    this.#expiring.delete(attendance);
  }

  #detach(attendance: Attendance): void {
    this.#parts.pace.gone(attendance.outlet);
    attendance.outlet = undefined;
    attendance.grants = 0;
    attendance.hungry = false;
  }

  /** A session goes on without a connection, if the shard holds anything of it. */
  #rest(attendance: Attendance): void {
    // What was not confirmed was not promised; the next hello says what is wanted now.
    attendance.held.length = 0;
    if (attendance.kept) this.#parts.places.left(attendance);
    else this.#forget(attendance);
  }

  #end(attendance: Attendance): void {
    this.#parts.groups.ended(attendance);
    this.#forget(attendance);
    if (attendance.kept) this.#parts.store.deleteSession(attendance.session);
    this.#parts.received.forget(attendance.session);
  }

  /** The session has ended here, or lives on under another link. */
  #forget(attendance: Attendance): void {
    const { tree, fanout, places, groups } = this.#parts;
    groups.forget(attendance);
    for (const filter of attendance.subscriptions.keys()) tree.delete(filter, attendance);
    if (attendance.subscriptions.size > 0) fanout.changed();
    if (attendance.outlet) this.#links.delete(attendance.outlet.link);
    this.#detach(attendance);
    this.#giveUpOn(attendance);
    this.#owing.delete(attendance);
    places.gone(attendance);
    if (this.#attendances.get(attendance.session) === attendance) this.#attendances.delete(attendance.session);
  }
}

/** Sets retained messages back that never reached their client. */
function rewind(earlier: Attendance, undone: readonly InflightRecord[]): void {
  for (const { source, offset } of undone) {
    if (source === 0) continue;
    for (const subscription of earlier.subscriptions.values()) {
      if (subscription.number !== source) continue;
      const { after, upTo } = subscription.scan ?? { after: Infinity, upTo: 0 };
      subscription.scan = { after: Math.min(after, offset - 1), upTo: Math.max(upTo, offset) };
    }
  }
}

/** True when a hello is of an earlier connection, or an earlier link of the same, than one that is known. */
function isFenced(hello: HelloRecord, known: Attendance): boolean {
  return compareFences({ ...hello, linkNumber: hello.link }, known) < 0;
}

/** True when two subscriptions of one filter are not on the same terms. */
function differs(a: SubscriptionRecord, b: SubscriptionRecord): boolean {
  return (
    a.qos !== b.qos ||
    a.noLocal !== b.noLocal ||
    a.retainAsPublished !== b.retainAsPublished ||
    a.identifier !== b.identifier
  );
}
