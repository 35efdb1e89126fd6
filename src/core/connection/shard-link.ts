/**
 * What a connection knows of one shard: enough to go on as if nothing had happened when the link breaks or the shard
 * restarts. While the client's socket lives, this is the memory of what was written to it.
 */

import { Batch } from "../../link/batch.ts";
import { ByteWriter } from "../../link/bytes.ts";
import type { MessageBody } from "../../link/message.ts";
import type { AttachedSubscription, InflightRecord, SubscriptionRecord } from "../../link/records.ts";
import * as records from "../../link/records.ts";
import type { LinkLife } from "./link-life.ts";

/** A confirmed subscription; `scan` moves as its retained messages arrive. */
export interface KnownSubscription extends AttachedSubscription {
  scan: number | undefined;
}

/** A change of subscriptions that the shard has not confirmed. */
export type ShardRequest =
  | { readonly type: "subscribe"; readonly subscriptions: readonly SubscriptionRecord[] }
  | { readonly type: "unsubscribe"; readonly filters: readonly string[] };

export class ShardLink {
  readonly shard: number;
  readonly life: LinkLife;
  readonly batch = new Batch();
  /** Confirmed by the shard, by filter. The hello carries them, and the shard's copy becomes equal to them. */
  readonly subscriptions = new Map<string, KnownSubscription>();
  /** Publishes that the shard does not own yet, by packet id, in order. They go again on a new link. */
  readonly unanswered = new Map<number, MessageBody>();
  readonly requests = new Map<number, ShardRequest>();
  /** Deliveries written to the client and not acknowledged by it, by packet id. */
  readonly inflight = new Map<number, InflightRecord>();
  /** The shard asked to be told when the client has taken what was sent. */
  asked = false;
  /** Subscriptions whose retained messages are still coming, by number. */
  readonly #scanning = new Map<number, KnownSubscription>();
  #cursor: number | undefined;
  #attempt = 0;
  /** QoS 0 publishes that came while the link was down. */
  readonly #parked = new ByteWriter();

  constructor(shard: number, life: LinkLife) {
    this.shard = shard;
    this.life = life;
  }

  /** True when a broken link has to be replaced; otherwise it may wait until it is used again. */
  get needed(): boolean {
    return this.subscriptions.size > 0 || this.unanswered.size > 0 || this.requests.size > 0 || this.#parked.length > 0;
  }

  get backlogBytes(): number {
    return this.batch.backlogBytes + this.#parked.length;
  }

  /** True when everything that was written has been taken by the shard. */
  get settled(): boolean {
    return this.life.usable ? this.batch.settled : !this.needed;
  }

  /** Says hello, then again everything that an earlier link may have lost, then what waited. */
  greet(
    hello: Pick<
      records.HelloRecord,
      "shards" | "depth" | "tenant" | "session" | "generation" | "epoch" | "mqttVersion" | "packetBytesMax" | "grants"
    >,
  ): void {
    const to = this.batch.records;
    this.batch.reset();
    this.asked = false;
    this.#attempt += 1;
    records.writeHello(to, {
      ...hello,
      versionMin: records.LINK_VERSIONS.min,
      versionMax: records.LINK_VERSIONS.max,
      link: this.#attempt,
      cursor: this.#cursor,
      subscriptions: [...this.subscriptions.values()],
      inflight: [...this.inflight.values()],
    });
    for (const [packetId, body] of this.unanswered) records.writePublish(to, packetId, body);
    for (const [request, change] of this.requests) this.#writeRequest(request, change);
    to.raw(this.#parked.take());
  }

  /** The shard's log stood at `head` when it answered the first hello: what comes later is ours. */
  attached(head: number): void {
    this.#cursor ??= head;
  }

  /** Hands a publish over. QoS > 0 is kept until the shard answers. */
  publish(packetId: number, body: MessageBody): void {
    if (body.qos > 0) this.unanswered.set(packetId, body);
    if (this.life.usable) records.writePublish(this.batch.records, packetId, body);
    else if (body.qos === 0) records.writePublish(this.#parked, 0, body);
  }

  request(request: number, change: ShardRequest): void {
    this.requests.set(request, change);
    if (this.life.usable) this.#writeRequest(request, change);
  }

  /** The shard applied a subscription at log offset `start`; its retained messages follow if `scanning`. */
  subscribed(subscription: SubscriptionRecord, start: number, scanning: boolean): void {
    const previous = this.subscriptions.get(subscription.filter);
    const known = {
      ...subscription,
      start: previous && previous.qos > 0 ? previous.start : start,
      scan: scanning ? 0 : undefined,
    };
    if (previous) this.#scanning.delete(previous.number);
    if (scanning) this.#scanning.set(known.number, known);
    this.subscriptions.set(subscription.filter, known);
  }

  /** Every retained message of a subscription was sent. */
  scanned(number: number): void {
    const subscription = this.#scanning.get(number);
    if (subscription) subscription.scan = undefined;
    this.#scanning.delete(number);
  }

  unsubscribed(filter: string): void {
    const subscription = this.subscriptions.get(filter);
    if (subscription) this.#scanning.delete(subscription.number);
    this.subscriptions.delete(filter);
  }

  /** A delivery was written to the client. */
  delivered(delivery: InflightRecord): void {
    this.inflight.set(delivery.packetId, delivery);
    if (delivery.source === 0) {
      this.#cursor = Math.max(this.#cursor ?? 0, delivery.offset);
      return;
    }
    const subscription = this.#scanning.get(delivery.source);
    if (subscription) subscription.scan = delivery.offset;
  }

  /** The client acknowledged a delivery. Returns false when there was none of this id. */
  acknowledged(packetId: number): boolean {
    if (!this.inflight.delete(packetId)) return false;
    if (this.life.usable) records.writeAck(this.batch.records, packetId);
    return true;
  }

  #writeRequest(request: number, change: ShardRequest): void {
    if (change.type === "subscribe") records.writeSubscribe(this.batch.records, request, change.subscriptions);
    else records.writeUnsubscribe(this.batch.records, request, change.filters);
  }
}
