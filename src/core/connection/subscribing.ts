/**
 * SUBSCRIBE and UNSUBSCRIBE over all the shards that a filter lives on. The answer leaves when every owning shard has
 * confirmed: after SUBACK the subscription is effective [MQTT-3.8.4-1]. A filter that some shard does not confirm
 * within {@link CONFIRM_MS} gets 0x80 and is undone where it was confirmed.
 *
 * Of a session that outlives the connection the session object keeps the list, and has it before any shard is told: what
 * a shard then misses, the next hello mends.
 */

import type { Subscribe, SubscriptionRequest, Unsubscribe } from "../../mqtt/codec.ts";
import { MqttError, Reason } from "../../mqtt/reason.ts";
import { validateTopicFilter } from "../../mqtt/topic.ts";
import { type KeepRecord, RETAINED_FOLLOW, type SubscriptionRecord } from "../../link/records.ts";
import type { Limits } from "../limits.ts";
import { type Need, type Permissions, subscribing } from "../authorization/permissions.ts";
import type { Action } from "../authorization/rule.ts";
import { CAPABILITIES } from "../capabilities.ts";
import { FilterQuota } from "./filter-quota.ts";
import { type Placement, shardsOfFilter } from "../shard/placement.ts";
import { type KnownSubscription, resumed, type ShardLink } from "./shard-link.ts";

/** How long a shard may take to confirm. */
export const CONFIRM_MS = 10_000;

/**
 * What may wait for its shards, packets and filters together, for each subscription that a client may have: enough to ask
 * for all of them at once, each in a packet of its own. They are some 600 bytes each.
 */
const UNANSWERED_PER_SUBSCRIPTION = 2;
/** Where few subscriptions are allowed: a packet may name many filters, to be told of each that it is one too many. */
const UNANSWERED_MIN = 16_384;

/** What Subscribing asks of its connection. */
export interface SubscribingHost {
  readonly limits: Limits;
  readonly placement: Placement;
  readonly permissions: Permissions;
  /** The client may not do that, or not so much of it. */
  denied(action: Action, filter: string, reason?: Reason): void;
  /** The packet in hand is taken anew when it is known whether the client may do these. */
  await(needs: readonly Need[], now: number): void;
  /** True when every shard that held state of the session before this connection goes by the list that it was given. */
  readonly resumed: boolean;
  /** The link to a shard, opened if it was not. */
  link(shard: number, now: number): ShardLink;
  /** Has kept what outlives the connection, if anything does, and then goes on. */
  keep(change: Pick<KeepRecord, "put" | "remove" | "shards">, now: number, goOn: (now: number) => void): void;
  suback(packetId: number, codes: readonly number[]): void;
  unsuback(packetId: number, codes: readonly number[]): void;
}

/** One filter of a packet, and the shards that have to confirm it. */
interface Entry {
  readonly filter: string;
  readonly waiting: Set<number>;
  readonly confirmed: Map<number, KnownSubscription | undefined>;
  /** What the client had of this filter before the packet: failing must leave it as it was. */
  previous: SubscriptionRecord | undefined;
  subscription: SubscriptionRecord | undefined;
  code: number;
}

interface Pending {
  readonly type: "subscribe" | "unsubscribe";
  /** Undefined: it is not the client's request, and not answered. */
  readonly packetId: number | undefined;
  readonly entries: readonly Entry[];
  readonly deadline: number;
}

export class Subscribing {
  readonly #host: SubscribingHost;
  readonly #pending = new Map<number, Pending>();
  /** Packets in {@link #pending} and their filters. */
  #unanswered = 0;
  /** Subscriptions in effect or on their way, by filter. */
  readonly #filters = new Map<string, SubscriptionRecord>();
  readonly #quota: FilterQuota;
  /** Filters whose UNSUBSCRIBE some shard did not confirm, so that nobody knows whether they are in effect. */
  readonly #unsure = new Set<string>();
  #requests = 0;
  #numbers = 0;

  constructor(host: SubscribingHost) {
    this.#host = host;
    this.#quota = new FilterQuota(host.limits);
  }

  /** Goes on with the subscriptions of a session. */
  resume(subscriptions: readonly SubscriptionRecord[]): void {
    for (const subscription of subscriptions) {
      this.#add(subscription);
      this.#numbers = Math.max(this.#numbers, subscription.number);
    }
  }

  get deadline(): number | undefined {
    // Requests are answered or expire in the order in which they came, so the first is the next to expire.
    for (const pending of this.#pending.values()) return pending.deadline;
    return undefined;
  }

  subscribe(packet: Subscribe, now: number): void {
    this.#bound(packet.subscriptions.length);
    const unknown = this.#unknown(packet);
    if (unknown.length > 0) {
      this.#host.await(unknown, now);
      return;
    }
    const entries = packet.subscriptions.map((wanted, at) => this.#entry(wanted, at, packet.subscriptionId ?? 0));
    this.#send({ type: "subscribe", packetId: packet.packetId, entries, deadline: now + CONFIRM_MS }, now);
  }

  unsubscribe(packet: Unsubscribe, now: number): void {
    this.#bound(packet.filters.length);
    const entries = packet.filters.map((filter) => this.#leaving(filter));
    this.#send({ type: "unsubscribe", packetId: packet.packetId, entries, deadline: now + CONFIRM_MS }, now);
  }

  /** What it takes to go on with the subscriptions that there are. */
  get needs(): readonly Need[] {
    return [...this.#filters.keys()].map(subscribing);
  }

  /**
   * What the client may changed: it loses the subscriptions that it may not have any more. Returns the shards that they are
   * on; what is under way from them may be of these.
   */
  withdraw(now: number): ReadonlySet<number> {
    const filters = [...this.#filters.keys()].filter((filter) => !this.#host.permissions.maySubscribe(filter));
    if (filters.length === 0) return new Set();
    for (const filter of filters) this.#host.denied("subscribe", filter);
    const entries = filters.map((filter) => this.#leaving(filter));
    const shards = new Set<number>();
    for (const { filter, waiting } of entries) {
      for (const shard of waiting) {
        shards.add(shard);
        // A hello must not bring it back.
        this.#host.link(shard, now).unsubscribed(filter);
      }
    }
    this.#send({ type: "unsubscribe", packetId: undefined, entries, deadline: now + CONFIRM_MS }, now);
    return shards;
  }

  /** A shard applied the filters of a request, in their order. */
  subscribed(link: ShardLink, request: number, start: number, codes: Uint8Array, now: number): void {
    link.settle(request);
    const pending = this.#pending.get(request);
    if (!pending) return;
    this.#confirm(pending, link, codes, (entry, code) => {
      if (code >= 0x80) {
        entry.code = code;
        return;
      }
      const subscription = entry.subscription!;
      entry.confirmed.set(link.shard, link.subscriptions.get(entry.filter));
      // The shard says with its code whether retained messages follow.
      link.subscribed(subscription, start, (code & RETAINED_FOLLOW) !== 0);
    });
    this.#finish(request, pending, now);
  }

  /** A shard removed the filters of a request, in their order. */
  unsubscribed(link: ShardLink, request: number, codes: Uint8Array, now: number): void {
    link.settle(request);
    const pending = this.#pending.get(request);
    if (!pending) return;
    this.#confirm(pending, link, codes, (entry, code) => {
      link.unsubscribed(entry.filter);
      if (code === Reason.Success) entry.code = Reason.Success;
    });
    this.#finish(request, pending, now);
  }

  /** Gives up on shards that have not confirmed in time. */
  tick(now: number): void {
    for (const [request, pending] of this.#pending) {
      if (now < pending.deadline) return;
      for (const entry of pending.entries) {
        for (const shard of entry.waiting) {
          entry.code = Reason.UnspecifiedError;
          const link = this.#host.link(shard, now);
          link.settle(request);
          // It may have been applied and its answer lost: say the opposite, unless a later request settles it.
          if (pending.type === "unsubscribe") {
            this.#unsure.add(entry.filter);
            link.unsubscribed(entry.filter);
          } else if (!this.#laterOn(request, entry.filter, shard)) {
            this.#restore(link, entry.filter, link.subscriptions.get(entry.filter));
          }
        }
        entry.waiting.clear();
      }
      this.#finish(request, pending, now);
    }
  }

  #bound(filters: number): void {
    const most = Math.max(UNANSWERED_MIN, UNANSWERED_PER_SUBSCRIPTION * this.#host.limits.subscriptionsMax);
    if (this.#unanswered + 1 + filters > most) {
      throw new MqttError(Reason.QuotaExceeded, `more than ${most} packets and filters that are not answered`);
    }
  }

  /** What has to be asked first. Filters that are none are refused without. */
  #unknown({ subscriptions }: Subscribe): readonly Need[] {
    const { asked } = this.#host.permissions;
    if (!asked) return [];
    const valid = subscriptions.filter(({ filter }) => this.#wrong(filter) === undefined);
    return asked.unknown(valid.map(({ filter }) => subscribing(filter)));
  }

  /** @param at where it is in its packet */
  #entry(wanted: SubscriptionRequest, at: number, identifier: number): Entry {
    const refused = this.#refusal(wanted.filter, at);
    const entry = newEntry(wanted.filter, this.#filters.get(wanted.filter), 0);
    if (refused !== undefined) {
      entry.code = refused;
      return entry;
    }
    const qos = Math.min(wanted.qos, CAPABILITIES.maximumQos) as 0 | 1 | 2;
    entry.subscription = { ...wanted, qos, identifier, number: ++this.#numbers };
    entry.code = qos;
    this.#add(entry.subscription);
    for (const shard of shardsOfFilter(wanted.filter, this.#host.placement)) entry.waiting.add(shard);
    return entry;
  }

  #wrong(filter: string): Reason | undefined {
    try {
      validateTopicFilter(filter, this.#host.limits);
    } catch (error) {
      if (error instanceof MqttError) return error.reason;
      throw error;
    }
    return undefined;
  }

  #refusal(filter: string, at: number): Reason | undefined {
    const wrong = this.#wrong(filter);
    if (wrong !== undefined) return wrong;
    if (!this.#host.permissions.maySubscribe(filter)) {
      this.#host.denied("subscribe", filter);
      return Reason.NotAuthorized;
    }
    const fits =
      at < this.#host.limits.filtersPerSubscribeMax && (this.#filters.has(filter) || this.#quota.fits(filter));
    const reason = this.#quota.forbids(filter) ?? (fits ? undefined : Reason.QuotaExceeded);
    if (reason !== undefined) this.#host.denied("subscribe", filter, reason);
    return reason;
  }

  #leaving(filter: string): Entry {
    const entry = newEntry(filter, this.#filters.get(filter), Reason.NoSubscriptionExisted);
    // A shard that has not been heard of may still have what an earlier connection gave up [MQTT-3.10.4-2].
    if (!this.#remove(filter) && !this.#unsure.has(filter) && this.#host.resumed) return entry;
    for (const shard of shardsOfFilter(filter, this.#host.placement)) entry.waiting.add(shard);
    return entry;
  }

  #add(subscription: SubscriptionRecord): void {
    const { filter } = subscription;
    if (!this.#filters.has(filter)) this.#quota.add(filter);
    this.#filters.set(filter, subscription);
  }

  #remove(filter: string): boolean {
    if (!this.#filters.delete(filter)) return false;
    this.#quota.remove(filter);
    return true;
  }

  #send(pending: Pending, now: number): void {
    const request = ++this.#requests;
    const shards = new Map<number, Entry[]>();
    for (const entry of pending.entries) {
      for (const shard of entry.waiting) {
        const entries = shards.get(shard);
        if (entries) entries.push(entry);
        else shards.set(shard, [entry]);
      }
    }
    this.#pending.set(request, pending);
    this.#unanswered += 1 + pending.entries.length;
    const owned = pending.entries.filter(({ waiting }) => waiting.size > 0);
    const change = {
      put: pending.type === "subscribe" ? owned.map(({ subscription }) => subscription!) : [],
      remove: pending.type === "unsubscribe" ? owned.map(({ filter }) => filter) : [],
      shards: [...shards.keys()],
    };
    this.#host.keep(change, now, (later) => this.#tell(request, pending, shards, later));
    this.#finish(request, pending, now);
  }

  /** The list is kept: tells the shards, unless that came too late. */
  #tell(request: number, pending: Pending, shards: Map<number, Entry[]>, now: number): void {
    if (!this.#pending.has(request)) return;
    for (const [shard, entries] of shards) {
      const link = this.#host.link(shard, now);
      if (pending.type === "subscribe") {
        link.request(request, { type: "subscribe", subscriptions: entries.map((entry) => entry.subscription!) });
      } else {
        link.request(request, { type: "unsubscribe", filters: entries.map((entry) => entry.filter) });
      }
    }
  }

  #confirm(pending: Pending, link: ShardLink, codes: Uint8Array, apply: (entry: Entry, code: number) => void): void {
    let position = 0;
    for (const entry of pending.entries) {
      if (!entry.waiting.delete(link.shard)) continue;
      apply(entry, codes[position++] ?? Reason.UnspecifiedError);
    }
  }

  #finish(request: number, pending: Pending, now: number): void {
    if (pending.entries.some((entry) => entry.waiting.size > 0)) return;
    this.#pending.delete(request);
    this.#unanswered -= 1 + pending.entries.length;
    const codes = pending.entries.map((entry) => entry.code);
    for (const { filter, code } of pending.entries) if (code < 0x80) this.#unsure.delete(filter);
    const { packetId } = pending;
    if (packetId === undefined) {
      // What it may not have would go on.
      if (codes.some((code) => code >= 0x80)) throw new MqttError(Reason.NotAuthorized, "a subscription went on");
      return;
    }
    if (pending.type === "unsubscribe") {
      this.#host.unsuback(packetId, codes);
      return;
    }
    // A filter that is in the packet twice is undone as it was done, the last one first.
    for (const entry of pending.entries.toReversed()) if (entry.code >= 0x80) this.#undo(request, entry, now);
    this.#host.suback(packetId, codes);
  }

  #undo(request: number, entry: Entry, now: number): void {
    const { filter, subscription } = entry;
    for (const [shard, previous] of entry.confirmed) {
      const link = this.#host.link(shard, now);
      const own = link.subscriptions.get(filter)?.number === subscription?.number;
      if (!own) this.#later(request, filter)?.confirmed.set(shard, previous);
      else if (this.#laterOn(request, filter, shard)) link.put(filter, previous);
      else this.#restore(link, filter, previous);
    }
    if (!subscription) return;
    const later = this.#later(request, filter);
    if (later) {
      later.previous = entry.previous;
      return;
    }
    if (this.#filters.get(filter) !== subscription) return;
    if (entry.previous) this.#add(entry.previous);
    else this.#remove(filter);
    const { previous } = entry;
    const change = { put: previous ? [previous] : [], remove: previous ? [] : [filter], shards: [] };
    this.#host.keep(change, now, () => {});
  }

  /** The next request after this one for the same filter. */
  #later(request: number, filter: string): Entry | undefined {
    for (const [other, { type, entries }] of this.#pending) {
      const entry = other > request && type === "subscribe" && entries.find((candidate) => candidate.filter === filter);
      if (entry) return entry;
    }
    return undefined;
  }

  /** True when a request after this one waits for the shard with the same filter, and so has the last word. */
  #laterOn(request: number, filter: string, shard: number): boolean {
    for (const [other, { entries }] of this.#pending) {
      if (other > request && entries.some((entry) => entry.filter === filter && entry.waiting.has(shard))) return true;
    }
    return false;
  }

  /** Puts back what a shard held for a filter before a SUBSCRIBE that failed elsewhere. */
  #restore(link: ShardLink, filter: string, previous: KnownSubscription | undefined): void {
    const request = ++this.#requests;
    // Whether the shard had changed it is not known, and so not from where it counts now; a shard that keeps it can tell.
    link.put(filter, previous && link.holds ? resumed(previous) : previous);
    if (previous) {
      link.request(request, { type: "subscribe", subscriptions: [{ ...previous, retainHandling: 2 }] });
    } else {
      link.request(request, { type: "unsubscribe", filters: [filter] });
    }
  }
}

function newEntry(filter: string, previous: SubscriptionRecord | undefined, code: number): Entry {
  return { filter, previous, waiting: new Set(), confirmed: new Map(), subscription: undefined, code };
}
