/**
 * What a connection knows of one shard: enough to go on as if nothing had happened when the link breaks or the shard
 * restarts. While the client's socket lives, this is the memory of what was written to it.
 */

import { Batch } from "../../link/batch.ts";
import type { MessageBody } from "../../link/message.ts";
import {
  type AttachedRecord,
  type GreetedSubscription,
  type InflightRecord,
  Phase,
  type Scan,
  type SubscriptionRecord,
} from "../../link/records.ts";
import * as records from "../../link/records.ts";
import type { LinkLife } from "./link-life.ts";

/** What every shard is told of the connection. */
export type Identity = Pick<
  records.HelloRecord,
  | "versionMin"
  | "versionMax"
  | "shards"
  | "depth"
  | "tenant"
  | "session"
  | "generation"
  | "epoch"
  | "mqttVersion"
  | "packetBytesMax"
  | "topicAliasMaximum"
  | "persistent"
>;

/** A confirmed subscription; `scan` moves as its retained messages arrive. */
export interface KnownSubscription extends GreetedSubscription {
  scan: Scan | undefined;
}

/** A subscription of an earlier connection: the shard will say where it stands. */
export function resumed(subscription: SubscriptionRecord): KnownSubscription {
  return { ...subscription, start: undefined, scan: undefined };
}

/** A change of subscriptions that the shard has not confirmed. */
export type ShardRequest =
  | { readonly type: "subscribe"; readonly subscriptions: readonly SubscriptionRecord[] }
  | { readonly type: "unsubscribe"; readonly filters: readonly string[] };

/** What a message costs that waits for its link, beside its bytes; measured and rounded up. */
const PARKED_BYTES = 160;

interface InOrder<T> {
  readonly order: number;
  readonly what: T;
}

export class ShardLink {
  readonly shard: number;
  readonly life: LinkLife;
  readonly batch = new Batch();
  /** Confirmed by the shard, by filter. The hello carries them, and the shard's copy becomes equal to them. */
  readonly subscriptions = new Map<string, KnownSubscription>();
  /** Publishes that the shard does not own yet, by packet id. They go again on a new link. */
  readonly #unanswered = new Map<number, InOrder<MessageBody> & { sent: boolean }>();
  readonly #requests = new Map<number, InOrder<ShardRequest>>();
  /** QoS 2 packet ids that the client released and the shard has not. */
  readonly #releases = new Map<number, InOrder<undefined>>();
  /** Deliveries written to the client and not acknowledged by it, by packet id. */
  readonly inflight = new Map<number, InflightRecord>();
  /** Those that earlier connections left and the shard has not sent again in this one. */
  readonly #resuming = new Map<number, InflightRecord>();
  /** Deliveries of earlier connections that go on with PUBREL: they were not sent in this one, and take no grant. */
  readonly #granted = new Set<number>();
  /** Packet ids that the client has received, as QoS 2 says it, and the shard has not recorded. */
  readonly #recording = new Set<number>();
  /** The shard asked to be told when the client has taken what was sent. */
  asked = false;
  /** Subscriptions whose retained messages are still coming, by number. */
  readonly #scanning = new Map<number, KnownSubscription>();
  #cursor: number | undefined;
  #sharedReceived = 0;
  #attempt = 0;
  /** QoS 0 publishes that came while the link was down. */
  #parked: InOrder<MessageBody>[] = [];
  #parkedBytes = 0;
  /** What waits for the shard goes to it again in the order in which the client sent it. */
  #order = 0;

  constructor(shard: number, life: LinkLife) {
    this.shard = shard;
    this.life = life;
  }

  /** The shard holds state of the session that outlives the connection, and has to hear what becomes of it. */
  holds = false;

  /** True when a broken link has to be replaced; otherwise it may wait until it is used again. */
  get needed(): boolean {
    const waiting = this.#unanswered.size + this.#releases.size + this.#requests.size + this.#parked.length;
    return waiting > 0 || this.subscriptions.size > 0 || this.holds;
  }

  get backlogBytes(): number {
    return this.batch.backlogBytes + this.#parkedBytes;
  }

  /** True when everything that was written has been taken by the shard. */
  get settled(): boolean {
    return this.life.usable ? this.batch.settled : !this.needed;
  }

  /**
   * Says hello, then again everything that an earlier link may have lost, then what waited.
   *
   * @param leaving the client is gone
   */
  greet(hello: Identity & Pick<records.HelloRecord, "grants">, leaving: boolean): void {
    const to = this.batch.records;
    this.batch.reset();
    this.asked = false;
    this.#attempt += 1;
    records.writeHello(to, {
      ...hello,
      link: this.#attempt,
      cursor: this.#cursor,
      sharedReceived: this.#sharedReceived,
      subscriptions: [...this.subscriptions.values()],
      inflight: [...this.inflight.values(), ...this.#resuming.values()],
    });
    for (const packetId of this.#recording) records.writeReceived(to, packetId);
    const again: InOrder<() => void>[] = [];
    for (const [packetId, unanswered] of this.#unanswered) {
      const { order, what, sent } = unanswered;
      // A client whose session goes on sends it again itself. Of another one the shard may have taken it, and forgotten its
      // packet id with our BYE.
      if (leaving && (sent || hello.persistent)) continue;
      unanswered.sent = true;
      again.push({ order, what: () => records.writePublish(to, packetId, what) });
    }
    for (const [packetId, { order }] of this.#releases) {
      again.push({ order, what: () => records.writeRelease(to, packetId) });
    }
    for (const [request, { order, what }] of leaving ? [] : this.#requests) {
      again.push({ order, what: () => this.#writeRequest(request, what) });
    }
    for (const { order, what } of this.#parked) again.push({ order, what: () => records.writePublish(to, 0, what) });
    this.#parked = [];
    this.#parkedBytes = 0;
    for (const { what } of again.toSorted((a, b) => a.order - b.order)) what();
  }

  /**
   * The shard answered the hello. The first time it says where the log stands for us, and what earlier connections left:
   * returns the packet ids that go on with PUBREL.
   */
  attached({ cursor, places, inflight }: AttachedRecord): number[] {
    if (this.#cursor !== undefined) return [];
    this.#cursor = cursor;
    const byNumber = new Map(places.map((place) => [place.number, place]));
    for (const subscription of this.subscriptions.values()) {
      const place = byNumber.get(subscription.number);
      if (place) this.#known({ ...subscription, start: place.start, scan: place.scan });
    }
    const releasing: number[] = [];
    for (const delivery of inflight) {
      if (delivery.phase !== Phase.Received) {
        this.#resuming.set(delivery.packetId, delivery);
        continue;
      }
      this.inflight.set(delivery.packetId, delivery);
      releasing.push(delivery.packetId);
    }
    return releasing;
  }

  /** Hands a publish over. QoS > 0 is kept until the shard answers. */
  publish(packetId: number, body: MessageBody): void {
    if (body.qos > 0) this.#unanswered.set(packetId, { ...this.#inOrder(body), sent: this.life.usable });
    if (this.life.usable) {
      records.writePublish(this.batch.records, packetId, body);
    } else if (body.qos === 0) {
      this.#parked.push(this.#inOrder(body));
      this.#parkedBytes += PARKED_BYTES + body.topicUtf8.length + body.properties.length + body.payload.length;
    }
  }

  /** The shard answered a publish. Returns its QoS; undefined when it was answered before. */
  published(packetId: number): 1 | 2 | undefined {
    const qos = this.#unanswered.get(packetId)?.what.qos;
    this.#unanswered.delete(packetId);
    return qos === 0 ? undefined : qos;
  }

  /** The client released a QoS 2 message that this shard took. */
  release(packetId: number): void {
    this.#releases.set(packetId, this.#inOrder(undefined));
    if (this.life.usable) records.writeRelease(this.batch.records, packetId);
  }

  /** The shard released it too. Returns false when it did before. */
  released(packetId: number): boolean {
    return this.#releases.delete(packetId);
  }

  request(request: number, change: ShardRequest): void {
    this.#requests.set(request, this.#inOrder(change));
    if (this.life.usable) this.#writeRequest(request, change);
  }

  /** A request is answered, or given up. */
  settle(request: number): void {
    this.#requests.delete(request);
  }

  /** Everything up to this offset was delivered, or was not for the client, under the terms of before. */
  passed(cursor: number): void {
    this.#cursor = Math.max(this.#cursor ?? 0, cursor);
  }

  /** The shard applied a subscription at log offset `start`; its retained messages follow if `scanning`. */
  subscribed(subscription: SubscriptionRecord, start: number, scanning: boolean): void {
    const previous = this.subscriptions.get(subscription.filter);
    if (previous) {
      this.#scanning.delete(previous.number);
      this.#renumber(previous.number, subscription.number);
    }
    this.#known({
      ...subscription,
      start: previous && previous.qos > 0 ? previous.start : start,
      scan: scanning ? this.#newScan(subscription, previous, start) : undefined,
    });
  }

  #known(subscription: KnownSubscription): void {
    this.subscriptions.set(subscription.filter, subscription);
    if (subscription.scan) this.#scanning.set(subscription.number, subscription);
  }

  /** As the shard decides it: one that does not ask for retained messages goes on with those asked for before. */
  #newScan(wanted: SubscriptionRecord, previous: KnownSubscription | undefined, head: number): Scan | undefined {
    const asks = wanted.retainHandling === 0 || (wanted.retainHandling === 1 && !previous);
    return asks ? { after: 0, upTo: head } : previous?.scan;
  }

  /** Retained messages of a subscription came up to `after`; undefined: all of them. */
  scanned(number: number, after: number | undefined): void {
    const subscription = this.#scanning.get(number);
    if (!subscription?.scan) return;
    subscription.scan = after === undefined ? undefined : { ...subscription.scan, after };
    if (after === undefined) this.#scanning.delete(number);
  }

  /** Sets what is known of a filter back to what it was. */
  put(filter: string, subscription: KnownSubscription | undefined): void {
    this.unsubscribed(filter);
    if (subscription) this.#known(subscription);
  }

  unsubscribed(filter: string): void {
    const subscription = this.subscriptions.get(filter);
    if (subscription) {
      this.#scanning.delete(subscription.number);
      this.#renumber(subscription.number, 0);
    }
    this.subscriptions.delete(filter);
  }

  /** Deliveries of a shared subscription are now of another one with the same filter, or (0) of none. */
  #renumber(from: number, to: number): void {
    for (const deliveries of [this.inflight, this.#resuming]) {
      for (const [packetId, delivery] of deliveries) {
        if (delivery.shared && delivery.source === from) deliveries.set(packetId, { ...delivery, source: to });
      }
    }
  }

  /** A delivery was written to the client. */
  delivered(delivery: InflightRecord): void {
    const { packetId, source, offset } = delivery;
    this.#resuming.delete(packetId);
    // What comes again was passed before, or is ahead of what waits: a shared one whose subscription is gone.
    if (source === 0 && delivery.phase === Phase.Sent) this.passed(offset);
    if (delivery.shared && delivery.phase === Phase.Sent) this.#sharedReceived += 1;
    this.inflight.set(packetId, delivery);
    this.#granted.add(packetId);
  }

  /**
   * The client received a delivery of QoS 2.
   *
   * @returns "unknown" when there is none of this id, "recorded" when PUBREL may be sent at once; otherwise it is when
   * the shard has recorded it
   */
  received(packetId: number, persistent: boolean): "unknown" | "recorded" | "recording" {
    const delivery = this.inflight.get(packetId);
    if (delivery?.qos !== 2) return "unknown";
    if (delivery.phase === Phase.Received) return "recorded";
    if (!persistent) {
      delivery.phase = Phase.Received;
      return "recorded";
    }
    if (!this.#recording.has(packetId)) {
      this.#recording.add(packetId);
      if (this.life.usable) records.writeReceived(this.batch.records, packetId);
    }
    return "recording";
  }

  /** The shard has recorded that the client received a delivery, or that its message is gone. False when it did before. */
  recorded(packetId: number): boolean {
    this.#recording.delete(packetId);
    const delivery = this.inflight.get(packetId) ?? this.#resuming.get(packetId);
    if (!delivery || delivery.phase === Phase.Received) return false;
    this.#resuming.delete(packetId);
    this.inflight.set(packetId, { ...delivery, phase: Phase.Received });
    return true;
  }

  /** True when a delivery may be acknowledged now by PUBACK (QoS 1), or by PUBCOMP. */
  completes(packetId: number, qos: 1 | 2): boolean {
    const delivery = this.inflight.get(packetId);
    return delivery?.qos === qos && (qos === 1 || delivery.phase === Phase.Received);
  }

  /** The client is done with a delivery. Returns true when that frees a grant. */
  acknowledged(packetId: number): boolean {
    if (!this.inflight.delete(packetId)) return false;
    this.#recording.delete(packetId);
    if (this.life.usable) records.writeAck(this.batch.records, packetId);
    return this.#granted.delete(packetId);
  }

  #inOrder<T>(what: T): InOrder<T> {
    return { order: ++this.#order, what };
  }

  #writeRequest(request: number, change: ShardRequest): void {
    if (change.type === "subscribe") records.writeSubscribe(this.batch.records, request, change.subscriptions);
    else records.writeUnsubscribe(this.batch.records, request, change.filters);
  }
}
