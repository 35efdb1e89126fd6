/** A production shard over a file, called as its object calls it. */

import { DEFAULT_LIMITS, type Limits } from "../../src/core/limits.ts";
import type { Placement } from "../../src/core/shard/placement.ts";
import { Shard, type ShardEffect } from "../../src/core/shard/shard.ts";
import { ShardStore } from "../../src/core/shard/store.ts";
import { ByteReader, ByteWriter } from "../../src/link/bytes.ts";
import type { MessageBody } from "../../src/link/message.ts";
import * as records from "../../src/link/records.ts";
import type { NodeSql } from "../../test/support/node-sql.ts";

/** A link's socket that outlasts a sleep, and what is remembered with it. */
export interface SleepingLink {
  readonly link: number;
  readonly hello: Uint8Array | undefined;
}

interface Delivery {
  readonly link: number;
  readonly packetId: number;
}

export interface SubjectOptions {
  readonly placement?: Placement;
  readonly limits?: Partial<Limits>;
  readonly links?: readonly SleepingLink[];
}

const NO_BYTES = new Uint8Array(0);
const ONE_SHARD: Placement = { shards: 1, depth: 2 };

export class ShardSubject {
  readonly sql: NodeSql;
  readonly store: ShardStore;
  readonly shard: Shard;
  readonly placement: Placement;
  /** What is remembered with each link's socket. */
  readonly attachments = new Map<number, Uint8Array | undefined>();
  /** Frames that links were sent, and their bytes. */
  sentFrames = 0;
  sentBytes = 0;
  /** Packet ids of deliveries that the last turn sent, by link. */
  deliveries: Delivery[] = [];
  /** Links that the last turn sent anything. */
  served: number[] = [];
  /** Set it to have {@link deliveries} filled. */
  reads = false;
  /** The log offset that the last hello was answered with. */
  head = 0;
  /** Virtual, in milliseconds since 1970. */
  now: number;

  /** Wakes the shard: what a cold object does before its first event. */
  constructor(sql: NodeSql, now: number, { placement = ONE_SHARD, limits, links = [] }: SubjectOptions = {}) {
    this.sql = sql;
    this.now = now;
    this.placement = placement;
    this.store = new ShardStore(sql);
    const config = {
      shard: 0,
      tenant: "main",
      limits: { ...DEFAULT_LIMITS, ...limits },
      shareStrategy: "round-robin",
      linkVersions: records.LINK_VERSIONS,
    } as const;
    for (const { link, hello } of links) this.attachments.set(link, hello);
    this.shard = new Shard(config, this.store, links, () => undefined, now);
    this.#do(this.shard.start(now));
  }

  frame(link: number, write: (to: ByteWriter) => void): void {
    const to = new ByteWriter();
    write(to);
    this.#do(this.shard.frame(link, to.take(), this.now));
  }

  hello(link: number, session: string, options: Partial<records.HelloRecord> = {}): void {
    this.attachments.set(link, undefined);
    this.frame(link, (to) =>
      records.writeHello(to, {
        versionMin: 1,
        versionMax: 1,
        shards: this.placement.shards,
        depth: this.placement.depth,
        tenant: "main",
        session,
        generation: 1,
        epoch: 1,
        link: 1,
        mqttVersion: 5,
        packetBytesMax: 0xffff_ffff,
        topicAliasMaximum: 0,
        persistent: false,
        cursor: undefined,
        sharedReceived: 0,
        grants: 1024,
        subscriptions: [],
        inflight: [],
        ...options,
      }),
    );
  }

  subscribe(link: number, filter: string, options: Partial<records.SubscriptionRecord> = {}): void {
    this.frame(link, (to) => records.writeSubscribe(to, 1, [subscription(filter, options)]));
  }

  publish(link: number, body: MessageBody): void {
    this.frame(link, (to) => records.writePublish(to, body.qos > 0 ? 1 : 0, body));
  }

  /** Acknowledges what the last turn delivered, each delivery by a frame of its own. */
  acknowledge(deliveries: readonly Delivery[] = this.deliveries): void {
    for (const { link, packetId } of deliveries) {
      this.frame(link, (to) => records.writeAck(to, packetId));
    }
  }

  /** The connection says that its client has taken what was under way. */
  drain(link: number): void {
    this.frame(link, (to) => records.writeDrained(to));
  }

  /** The connection answers a wide fan-out. */
  echo(link: number): void {
    this.frame(link, (to) => records.writeEchoed(to));
  }

  bye(link: number): void {
    this.frame(link, (to) => records.writeBye(to));
    this.lose(link);
  }

  lose(link: number): void {
    this.attachments.delete(link);
    this.#do(this.shard.closed(link, this.now));
  }

  /** Lets so much time pass, and does what is due in it. */
  advance(ms: number): void {
    const until = this.now + ms;
    for (;;) {
      const { deadline = Infinity, alarmAt = Infinity } = this.shard;
      const at = Math.min(deadline, alarmAt);
      if (at > until) break;
      this.now = Math.max(this.now, at);
      if (deadline <= this.now) this.tick();
      if (alarmAt <= this.now) this.alarm();
    }
    this.now = until;
  }

  tick(): void {
    this.#do(this.shard.tick(this.now));
  }

  alarm(): void {
    this.#do(this.shard.alarm(this.now));
  }

  #do(effects: readonly ShardEffect[]): void {
    this.deliveries = [];
    this.served = [];
    for (const effect of effects) {
      if (effect.type === "remember") this.attachments.set(effect.link, effect.hello);
      else if (effect.type === "close") this.attachments.delete(effect.link);
      else if (effect.type === "send") {
        this.sentFrames += 1;
        this.sentBytes += effect.frame.length;
        this.served.push(effect.link);
        if (this.reads) this.#read(effect.link, effect.frame);
      }
    }
    // As the object does after every turn.
    void this.shard.alarmAt;
    void this.shard.deadline;
  }

  #read(link: number, frame: Uint8Array): void {
    const from = new ByteReader(frame);
    while (!from.done) {
      const record = records.readRecord(from, this.now);
      if (record.kind === records.Kind.Attached) this.head = record.cursor;
      if (record.kind !== records.Kind.Deliver) continue;
      for (const { packetId } of record.deliveries) this.deliveries.push({ link, packetId });
    }
  }
}

export function subscription(
  filter: string,
  options: Partial<records.SubscriptionRecord> = {},
): records.SubscriptionRecord {
  return {
    number: 1,
    filter,
    qos: 1,
    noLocal: false,
    retainAsPublished: false,
    retainHandling: 2,
    identifier: 0,
    ...options,
  };
}

const encoder = new TextEncoder();
/** As the other benchmarks have it. */
const PAYLOAD = new Uint8Array(64).fill(0x2e);

export function message(topic: string, qos: 0 | 1, retain = false): MessageBody {
  return {
    topic,
    topicUtf8: encoder.encode(topic),
    qos,
    retain,
    expirySeconds: undefined,
    properties: NO_BYTES,
    payload: PAYLOAD,
  };
}
