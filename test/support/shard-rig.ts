/** One shard, to be told records and asked what it said: for rules that need no connection. */

import { DEFAULT_LIMITS, type Limits } from "../../src/core/limits.ts";
import { Shard, type ShardEffect } from "../../src/core/shard/shard.ts";
import { ShardStore } from "../../src/core/shard/store.ts";
import type { ShareStrategy } from "../../src/core/shard/share-strategy.ts";
import { ByteReader, ByteWriter } from "../../src/link/bytes.ts";
import type { MessageBody } from "../../src/link/message.ts";
import * as records from "../../src/link/records.ts";
import type { Fence } from "../../src/link/records.ts";
import { FrameReader } from "../../src/mqtt/frame.ts";
import { nodeSql } from "./node-sql.ts";

export type Sent = records.ConnectionBound;

/** A PUBLISH as a client would get it. */
export interface Delivered {
  readonly topic: string;
  readonly payload: string;
  readonly qos: number;
  readonly retain: boolean;
  readonly dup: boolean;
  readonly packetId: number;
  /** The property bytes. */
  readonly properties: Uint8Array;
}

const NO_BYTES = new Uint8Array(0);

export function body(topic: string, payload = "x", options: Partial<MessageBody> = {}): MessageBody {
  const topicUtf8 = new TextEncoder().encode(topic);
  const bytes = new TextEncoder().encode(payload);
  return {
    topic,
    topicUtf8,
    qos: 1,
    retain: false,
    expirySeconds: undefined,
    properties: NO_BYTES,
    payload: bytes,
    ...options,
  };
}

export class ShardRig {
  readonly sql = nodeSql();
  readonly limits: Limits;
  readonly strategy: ShareStrategy;
  now = 1_700_000_000_000;
  shard: Shard;
  /** Records that a link was sent and that were not asked for. */
  readonly #records = new Map<number, Sent[]>();
  /** Frames of all links, as they are. */
  readonly frames: { link: number; frame: Uint8Array }[] = [];
  readonly closed: number[] = [];
  /** When the automatic ping of a link was last answered. */
  readonly pings = new Map<number, number>();
  /** What it says was dropped. */
  readonly dropped: number[] = [];
  notRetained = 0;
  readonly reports: Extract<ShardEffect, { type: "report" }>[] = [];
  readonly attachments = new Map<number, Uint8Array | undefined>();
  /** What happened to storage and to links, in order. */
  readonly history: string[] = [];
  #numbers = 0;

  constructor(limits: Partial<Limits> = {}, strategy: ShareStrategy = "round-robin") {
    this.strategy = strategy;
    this.limits = { ...DEFAULT_LIMITS, ...limits };
    this.shard = this.#start([]);
  }

  #start(links: { link: number; hello: Uint8Array | undefined }[]): Shard {
    const { limits, strategy: shareStrategy } = this;
    const config = { shard: 0, tenant: "main", limits, shareStrategy, linkVersions: records.LINK_VERSIONS };
    const lastPingAt = (link: number): number | undefined => this.pings.get(link);
    return new Shard(config, new ShardStore(this.sql), links, lastPingAt, this.now);
  }

  /** The object starts again without its sockets. */
  restart(): void {
    this.attachments.clear();
    this.shard = this.#start([]);
    this.do(this.shard.start(this.now));
  }

  /** The object sleeps and wakes with the sockets that it has. */
  sleep(): void {
    this.shard = this.#start([...this.attachments].map(([link, hello]) => ({ link, hello })));
    this.do(this.shard.start(this.now));
  }

  do(effects: readonly ShardEffect[]): void {
    for (const effect of effects) {
      if (effect.type === "close") {
        this.closed.push(effect.link);
        this.attachments.delete(effect.link);
      } else if (effect.type === "remember") {
        this.attachments.set(effect.link, effect.hello);
        this.history.push(effect.hello ? "remember" : "forget");
      } else if (effect.type === "report") {
        this.reports.push(effect);
      } else if (effect.type === "dropped") {
        this.dropped.push(effect.qos0);
        this.notRetained += effect.notRetained;
      } else {
        this.frames.push(effect);
        this.history.push("send");
        const from = new ByteReader(effect.frame);
        const sent = this.#records.get(effect.link) ?? [];
        while (!from.done) sent.push(records.readRecord(from, this.now) as Sent);
        this.#records.set(effect.link, sent);
      }
    }
  }

  frame(link: number, write: (to: ByteWriter) => void): void {
    const to = new ByteWriter();
    write(to);
    this.do(this.shard.frame(link, to.take(), this.now));
  }

  /** @param more what comes in the same frame */
  hello(
    link: number,
    session: string,
    options: Partial<records.HelloRecord> = {},
    more: (to: ByteWriter) => void = () => {},
  ): void {
    this.attachments.set(link, undefined);
    const hello = {
      versionMin: 1,
      versionMax: 1,
      shards: 4,
      depth: 2,
      tenant: "main",
      session,
      generation: 1,
      epoch: 1,
      link: 1,
      mqttVersion: 5 as const,
      packetBytesMax: 0xffff_ffff,
      topicAliasMaximum: 0,
      persistent: false,
      cursor: undefined,
      sharedReceived: 0,
      grants: 100,
      subscriptions: [],
      inflight: [],
      ...options,
    };
    this.frame(link, (to) => {
      records.writeHello(to, hello);
      more(to);
    });
  }

  subscribe(
    link: number,
    filter: string,
    options: Partial<records.SubscriptionRecord> = {},
  ): records.SubscriptionRecord {
    const subscription = {
      number: ++this.#numbers,
      filter,
      qos: 1 as const,
      noLocal: false,
      retainAsPublished: false,
      retainHandling: 0 as const,
      identifier: 0,
      ...options,
    };
    this.frame(link, (to) => records.writeSubscribe(to, subscription.number, [subscription]));
    return subscription;
  }

  publish(link: number, message: MessageBody, packetId = message.qos > 0 ? 1 : 0): void {
    this.frame(link, (to) => records.writePublish(to, packetId, message));
  }

  will(fence: Fence, publisher: string, message: MessageBody): void {
    this.do(this.shard.publishWill(fence, { ...message, publisher, at: this.now }, this.now));
  }

  wipe(session: string, generation: number): void {
    this.do(this.shard.wipe(session, generation, this.now));
  }

  advance(ms: number): void {
    const until = this.now + ms;
    for (;;) {
      const at = Math.min(this.shard.deadline ?? Infinity, this.shard.alarmAt ?? Infinity);
      if (at > until) break;
      this.now = Math.max(this.now, at);
      if ((this.shard.deadline ?? Infinity) <= this.now) this.do(this.shard.tick(this.now));
      if ((this.shard.alarmAt ?? Infinity) <= this.now) this.do(this.shard.alarm(this.now));
    }
    this.now = until;
  }

  lose(link: number): void {
    this.attachments.delete(link);
    this.do(this.shard.closed(link, this.now));
  }

  /** Puts back what {@link take} took. */
  put(link: number, sent: Sent[]): void {
    this.#records.set(link, sent);
  }

  grant(link: number, count: number): void {
    this.frame(link, (to) => records.writeGrant(to, count));
  }

  /** What the link was sent since it was last asked. */
  take(link: number): Sent[] {
    const sent = this.#records.get(link) ?? [];
    this.#records.delete(link);
    return sent;
  }

  kinds(link: number): number[] {
    return this.take(link).map(({ kind }) => kind);
  }

  /** The messages that the link was sent since it was last asked. */
  delivered(link: number): Delivered[] {
    return this.take(link).flatMap((record) => (record.kind === records.Kind.Deliver ? publishes(record.packets) : []));
  }

  payloads(link: number): string[] {
    return this.delivered(link).map(({ payload }) => payload);
  }

  count(table: string): number {
    return this.sql.rows(`SELECT count(*) AS n FROM ${table}`)[0]!["n"] as number;
  }
}

/** Splits finished packets of MQTT 5 with a property section of less than 128 bytes. */
function publishes(bytes: Uint8Array): Delivered[] {
  const reader = new FrameReader(2 ** 28);
  reader.push(bytes);
  const all: Delivered[] = [];
  while (reader.next()) {
    const { flags, body: start, end } = reader;
    const at = reader.bytes.slice(start, end);
    const topicEnd = 2 + at[0]! * 256 + at[1]!;
    const qos = (flags >> 1) & 3;
    const packetId = qos > 0 ? at[topicEnd]! * 256 + at[topicEnd + 1]! : 0;
    const properties = topicEnd + (qos > 0 ? 2 : 0);
    const payload = properties + 1 + at[properties]!;
    all.push({
      topic: new TextDecoder().decode(at.subarray(2, topicEnd)),
      payload: new TextDecoder().decode(at.subarray(payload)),
      qos,
      retain: (flags & 1) !== 0,
      dup: (flags & 8) !== 0,
      packetId,
      properties: at.subarray(properties + 1, payload),
    });
  }
  return all;
}
