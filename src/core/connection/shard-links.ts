/** The links of one connection to its shards, and the window of deliveries that they share. */

import type { AttachedRecord, ConnectionBound, SubscriptionRecord } from "../../link/records.ts";
import * as records from "../../link/records.ts";
import { LinkFormatError } from "../../link/bytes.ts";
import type { Effect } from "./effects.ts";
import type { LinkLife } from "./link-life.ts";
import { type Identity, resumed, ShardLink } from "./shard-link.ts";
import { Window, type WindowChange } from "./window.ts";
import { shardsOfFilter } from "../shard/placement.ts";

/** A client that reads slower than we write has taken "enough" when no more than this is waiting for it. */
const CLIENT_BUFFER_LOW_BYTES = 64 * 1024;
/** How often a full client buffer is looked at again; the platform has no event for it. */
const BUFFER_POLL_MS = 20;

export interface ShardLinksHost {
  readonly effects: Effect[];
  /** Bytes that were sent to the client and have not left. */
  readonly bufferedBytes: () => number;
  life(shard: number): LinkLife;
}

export class ShardLinks {
  readonly #host: ShardLinksHost;
  readonly #identity: Identity;
  readonly #window: Window;
  readonly #links = new Map<number, ShardLink>();
  /** Shards that have not said what they hold of the session since earlier connections. */
  readonly #awaited = new Set<number>();
  /** When the client's buffer is looked at again for the shards that asked. */
  #drainAt: number | undefined;
  #leaving = false;
  #overtaken = false;

  /** @param windowSize deliveries of QoS > 0 that the client takes without acknowledging */
  constructor(host: ShardLinksHost, identity: Identity, windowSize: number) {
    this.#host = host;
    this.#identity = identity;
    this.#window = new Window(windowSize, identity.shards);
  }

  /** The link to a shard, opened if it was not. */
  to(shard: number, now: number): ShardLink {
    let link = this.#links.get(shard);
    if (!link) {
      link = new ShardLink(shard, this.#host.life(shard));
      this.#links.set(shard, link);
    }
    link.life.open(now);
    return link;
  }

  /** Goes on with a session: opens a link to every shard that may hold state of it. */
  resume(shards: Iterable<number>, subscriptions: readonly SubscriptionRecord[], now: number): void {
    for (const shard of shards) {
      this.to(shard, now).holds = true;
      this.#awaited.add(shard);
    }
    for (const subscription of subscriptions) {
      for (const shard of shardsOfFilter(subscription.filter, this.#identity)) {
        this.to(shard, now).subscriptions.set(subscription.filter, resumed(subscription));
      }
    }
  }

  /** True when every shard that holds state of the session has said what. */
  get resumed(): boolean {
    return this.#awaited.size === 0;
  }

  /** A shard has taken the connection in. Returns packet ids of earlier connections that go on with PUBREL. */
  attached(link: ShardLink, record: AttachedRecord): number[] {
    this.#awaited.delete(link.shard);
    return link.attached(record);
  }

  get(shard: number): ShardLink | undefined {
    return this.#links.get(shard);
  }

  /** Bytes that the slowest shard has not taken. */
  get backlogBytes(): number {
    let most = 0;
    for (const link of this.#links.values()) most = Math.max(most, link.backlogBytes);
    return most;
  }

  /** True when every shard has taken everything. */
  get settled(): boolean {
    for (const link of this.#links.values()) {
      const gone = this.#overtaken && !link.life.usable;
      if (!gone && !link.settled) return false;
    }
    return true;
  }

  get deadline(): number | undefined {
    let deadline = this.#drainAt ?? Infinity;
    for (const { life, batch } of this.#links.values()) {
      deadline = Math.min(deadline, life.deadline ?? Infinity, (life.usable && batch.deadline) || Infinity);
    }
    return deadline === Infinity ? undefined : deadline;
  }

  opened(shard: number): void {
    const link = this.#links.get(shard);
    if (!link?.life.opened()) return;
    link.greet({ ...this.#identity, grants: this.#window.open(shard) }, this.#leaving);
    if (this.#leaving) records.writeBye(link.batch.records);
  }

  /**
   * Does what a record asks for that is a matter of the link alone.
   *
   * @returns false when it is the connection's matter
   */
  record(link: ShardLink, record: ConnectionBound, now: number): boolean {
    switch (record.kind) {
      case records.Kind.Taken:
        link.batch.taken(now);
        link.life.heard(now);
        return true;
      case records.Kind.Echo:
        if (!this.#leaving) records.writeEchoed(link.batch.records);
        return true;
      case records.Kind.Scanned:
        // What came before it was not written to a client that is gone.
        if (!this.#leaving) link.scanned(record.number, record.after);
        return true;
      case records.Kind.Hungry:
        this.#change(this.#window.hungry(link.shard));
        return true;
      case records.Kind.Returned:
        this.#change(this.#window.returned(link.shard, record.count));
        return true;
      case records.Kind.Ask:
        if (this.#leaving) return true;
        link.asked = true;
        this.#drainAt = now;
        return true;
      case records.Kind.Attached:
        link.life.attached(now);
        return false;
      case records.Kind.Deliver:
      case records.Kind.Recorded:
      case records.Kind.Released:
      case records.Kind.Published:
      case records.Kind.Subscribed:
      case records.Kind.Unsubscribed:
      case records.Kind.Refused:
        return false;
      default:
        throw new LinkFormatError(`record ${record.kind} is not a shard's`);
    }
  }

  /** Deliveries were written to the client. */
  delivered(link: ShardLink, deliveries: readonly records.InflightRecord[]): void {
    for (const delivery of deliveries) link.delivered(delivery);
    this.#window.delivered(link.shard, deliveries.length);
  }

  /**
   * The client acknowledged a delivery, of QoS 1 by PUBACK, of QoS 2 by PUBCOMP. An id that is not in flight means nothing,
   * and nothing is lost by ignoring it.
   */
  acknowledged(packetId: number, qos: 1 | 2): void {
    const link = this.#owner(packetId);
    if (link?.completes(packetId, qos)) this.#done(link, packetId);
  }

  /** The client will not have a delivery of QoS 2 [MQTT-4.3.3-4]. */
  rejected(packetId: number): void {
    const link = this.#owner(packetId);
    if (link?.inflight.get(packetId)?.qos === 2) this.#done(link, packetId);
  }

  /** The client received a delivery of QoS 2; {@link ShardLink.received} says what the answer means. */
  received(packetId: number): ReturnType<ShardLink["received"]> {
    return this.#owner(packetId)?.received(packetId, this.#identity.persistent) ?? "unknown";
  }

  #done(link: ShardLink, packetId: number): void {
    if (link.acknowledged(packetId)) this.#change(this.#window.acknowledged(link.shard));
  }

  /** A link broke. Returns false when it is needed and time to give it up. */
  broken(shard: number, now: number): boolean {
    const link = this.#links.get(shard);
    if (!link || link.life.phase === "closed") return true;
    this.#down(link);
    if (link.needed && !this.#overtaken) return link.life.broken(now);
    link.life.close();
    return true;
  }

  /** A shard will not have this connection. */
  refused(link: ShardLink): void {
    link.life.close();
    this.#down(link);
  }

  /**
   * The client is gone: takes leave of every shard, now or when its link is there. Behind BYE nothing is written: the shard
   * reads no more, and would not say that it has taken it.
   */
  leave(): void {
    this.#leaving = true;
    this.#drainAt = undefined;
    for (const { life, batch } of this.#links.values()) if (life.usable) records.writeBye(batch.records);
  }

  /**
   * The client has another connection. Shards that this one cannot reach just now need not hear any more what it had for
   * them: they would hear it after what the other one says, and nobody was told that they have it.
   */
  overtaken(): void {
    this.#overtaken = true;
    for (const { life } of this.#links.values()) if (!life.usable) life.close();
  }

  close(): void {
    for (const { life } of this.#links.values()) life.close();
  }

  /** Calls `lost` for links that time has run out for. */
  tick(now: number, lost: (shard: number) => void): void {
    for (const { life, batch, shard } of this.#links.values()) {
      batch.ripen();
      if (life.tick(now)) lost(shard);
    }
  }

  /** Lets out the frames that are due. */
  flush(now: number): void {
    if (this.#drainAt !== undefined && now >= this.#drainAt) this.#drain(now);
    for (const { life, batch, shard } of this.#links.values()) {
      const frame = life.usable ? batch.due(now) : undefined;
      if (!frame) continue;
      life.asked(now);
      this.#host.effects.push({ type: "sendLink", link: shard, frame });
    }
  }

  /** Tells the shards that asked that the client has taken what they sent, or looks again later. */
  #drain(now: number): void {
    if (this.#host.bufferedBytes() > CLIENT_BUFFER_LOW_BYTES) {
      this.#drainAt = now + BUFFER_POLL_MS;
      return;
    }
    this.#drainAt = undefined;
    for (const link of this.#links.values()) {
      if (link.asked && link.life.usable) records.writeDrained(link.batch.records);
      link.asked = false;
    }
  }

  /** The link of the shard in whose slice a packet id is. */
  #owner(packetId: number): ShardLink | undefined {
    return this.#links.get(packetId % this.#identity.shards);
  }

  #down(link: ShardLink): void {
    link.batch.reset();
    link.asked = false;
    this.#change(this.#window.close(link.shard));
  }

  #change(changes: readonly WindowChange[]): void {
    if (this.#leaving) return;
    for (const change of changes) {
      const to = this.#links.get(change.shard)!.batch.records;
      if (change.grant > 0) records.writeGrant(to, change.grant);
      if (change.recall > 0) records.writeRecall(to, change.recall);
    }
  }
}
