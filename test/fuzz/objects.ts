/**
 * The objects of one connection as its links show them: they answer everything that it asks, and deliver what they like
 * within its grants. No storage and no other client, so that millions of packets are a matter of minutes.
 */
import { ByteReader, ByteWriter } from "../../src/link/bytes.ts";
import type { LinkName } from "../../src/core/connection/effects.ts";
import type { Placement } from "../../src/core/shard/placement.ts";
import * as records from "../../src/link/records.ts";
import { encodePublish, publishLength } from "../../src/mqtt/publish.ts";
import { Reason } from "../../src/mqtt/reason.ts";
import { encodeUtf8 } from "../../src/mqtt/utf8.ts";
import { Find } from "./judge.ts";
import type { Random } from "../support/random.ts";

const { Kind, Phase } = records;

const SUBSCRIPTION = {
  qos: 1 as const,
  noLocal: false,
  retainAsPublished: false,
  retainHandling: 0 as const,
  identifier: 0,
};

interface ShardState {
  hello: records.HelloRecord;
  grants: number;
  readonly inflight: Map<number, records.InflightRecord>;
}

export class Objects {
  readonly #random: Random;
  readonly #placement: Placement;
  readonly #send: (link: LinkName, frame: Uint8Array) => void;
  readonly #shards = new Map<number, ShardState>();
  #offset = 10;
  #resumes = false;
  readonly #greeted = new Set<number>();
  /** Links on which BYE has come. */
  readonly #over = new Set<LinkName>();

  /** @param send a frame on its way to the connection */
  constructor(random: Random, placement: Placement, send: (link: LinkName, frame: Uint8Array) => void) {
    this.#random = random;
    this.#placement = placement;
    this.#send = send;
  }

  /** A link is another one from now on, or none. */
  forget(link: LinkName): void {
    this.#over.delete(link);
    if (link !== "session") this.#shards.delete(link);
  }

  /** A frame of the connection has arrived. */
  frame(link: LinkName, frame: Uint8Array, now: number): void {
    const reader = new ByteReader(frame);
    const to = new ByteWriter(64);
    if (this.#over.has(link)) throw new Find(`a frame behind BYE for shard ${link}`);
    while (!reader.done) {
      const record = records.readRecord(reader, now);
      if (link === "session") this.#session(record as records.SessionBound, to);
      else this.#shard(link, record as records.ShardBound, to);
    }
    if (link !== "session") records.writeTaken(to);
    if (to.length > 0) this.#send(link, to.take());
  }

  #session(record: records.SessionBound, to: ByteWriter): void {
    const random = this.#random;
    switch (record.kind) {
      case Kind.Connect: {
        if (record.reattach === undefined && random.chance(0.02)) {
          records.writeRefused(to, random.of([Reason.SessionTakenOver, Reason.ServerBusy, Reason.QuotaExceeded]));
          return;
        }
        const persistent = record.expirySeconds > 0;
        const present = persistent && !record.cleanStart && record.reattach === undefined && random.chance(0.6);
        this.#resumes ||= present;
        records.writeWelcome(to, {
          version: 1,
          generation: record.reattach?.generation ?? 1,
          epoch: record.reattach?.epoch ?? 5,
          sessionPresent: present,
          persistent,
          shards: present ? Array.from({ length: this.#placement.shards }, (_, shard) => shard) : [],
          subscriptions: present ? [{ ...SUBSCRIPTION, number: 1, filter: "#" }] : [],
        });
        return;
      }
      case Kind.Keep:
        return records.writeKept(to, record.request);
      case Kind.End:
        return records.writeEnded(to);
      case Kind.Leave:
        return;
    }
  }

  #shard(shard: number, record: records.ShardBound, to: ByteWriter): void {
    const random = this.#random;
    if (record.kind === Kind.Hello) return this.#attach(shard, record, to);
    const state = this.#shards.get(shard);
    if (!state) throw new Error(`shard ${shard} is spoken to without a hello`);
    switch (record.kind) {
      case Kind.Publish:
        if (record.packetId === 0) return;
        // One in fifty is refused, which is all that a client before MQTT 5 hears.
        return records.writePublished(
          to,
          record.packetId,
          random.of([Reason.Success, Reason.Success, Reason.NoMatchingSubscribers, Reason.Success]) ||
            (random.chance(0.02) ? Reason.QuotaExceeded : Reason.Success),
        );
      case Kind.Ack:
        state.inflight.delete(record.packetId);
        return;
      case Kind.Release:
        return records.writeReleased(to, record.packetId);
      case Kind.Received: {
        const delivery = state.inflight.get(record.packetId);
        if (delivery) delivery.phase = Phase.Received;
        return records.writeRecorded(to, record.packetId);
      }
      case Kind.Subscribe: {
        const codes = record.subscriptions.map(({ qos }) =>
          random.chance(0.02) ? 0x80 : random.chance(0.3) ? qos | records.RETAINED_FOLLOW : qos,
        );
        records.writeSubscribed(to, record.request, this.#offset, this.#offset, codes);
        for (const [at, { number }] of record.subscriptions.entries()) {
          if ((codes[at]! & records.RETAINED_FOLLOW) !== 0 && codes[at] !== 0x80) {
            records.writeScanned(to, number, undefined);
          }
        }
        return;
      }
      case Kind.Unsubscribe:
        return records.writeUnsubscribed(
          to,
          record.request,
          record.filters.map(() => random.of([0, 0, 0x11])),
        );
      case Kind.Grant:
        state.grants += record.count;
        return;
      case Kind.Recall: {
        const count = Math.min(record.count, state.grants);
        state.grants -= count;
        return records.writeReturned(to, count);
      }
      case Kind.Bye:
        this.#over.add(shard);
        this.#shards.delete(shard);
        return;
      default:
        return;
    }
  }

  #attach(shard: number, hello: records.HelloRecord, to: ByteWriter): void {
    const state: ShardState = { hello, grants: hello.grants, inflight: new Map() };
    this.#shards.set(shard, state);
    for (const delivery of hello.inflight) state.inflight.set(delivery.packetId, { ...delivery });
    const first = !this.#greeted.has(shard);
    this.#greeted.add(shard);
    const left: records.InflightRecord[] = [];
    const received: number[] = [];
    const { shards } = this.#placement;
    if (first && this.#resumes) {
      for (let number = 1; number <= this.#random.below(4); number++) {
        left.push({
          packetId: number * shards + shard,
          offset: number,
          source: 0,
          qos: this.#random.of([1, 2]),
          retain: false,
          phase: Phase.Unsent,
        });
      }
      for (const delivery of left) if (delivery.qos === 2 && this.#random.chance(0.4)) delivery.phase = Phase.Received;
      if (this.#random.chance(0.3)) received.push(1 + this.#random.below(12));
    }
    for (const delivery of left) state.inflight.set(delivery.packetId, { ...delivery });
    const places = first && this.#resumes ? [{ number: 1, start: 0, scan: undefined }] : [];
    records.writeAttached(to, { version: 1, cursor: this.#offset, places, inflight: left, received });
    for (const delivery of state.inflight.values()) {
      if (delivery.phase !== Phase.Unsent || state.grants === 0) continue;
      state.grants -= 1;
      delivery.phase = Phase.Resent;
      this.#write(state, [delivery], [this.#packet(state, delivery.qos, delivery.packetId, true)!], to);
    }
  }

  /** Delivers something, or says something else that a shard may say at any time. */
  stir(): void {
    const random = this.#random;
    if (this.#shards.size === 0) return;
    const shard = random.of([...this.#shards.keys()]);
    const state = this.#shards.get(shard)!;
    const to = new ByteWriter(64);
    const die = random.below(10);
    if (die === 0 && state.grants === 0) records.writeHungry(to);
    else if (die === 1) to.u8(Kind.Ask);
    else if (die === 2) records.writeEcho(to);
    else this.#deliver(shard, state, to);
    if (to.length > 0) this.#send(shard, to.take());
  }

  #deliver(shard: number, state: ShardState, to: ByteWriter): void {
    const deliveries: records.InflightRecord[] = [];
    const packets: Uint8Array[] = [];
    for (let left = 1 + this.#random.below(4); left > 0; left--) {
      const qos = this.#random.of([0, 1, 2] as const);
      if (qos === 0) {
        const packet = this.#packet(state, 0, 0, false);
        if (packet) packets.push(packet);
        continue;
      }
      if (state.grants === 0) continue;
      const packetId = this.#freeId(shard, state);
      const packet = this.#packet(state, qos, packetId, false);
      if (!packet) continue;
      state.grants -= 1;
      const delivery = { packetId, offset: ++this.#offset, source: 0, qos, retain: false, phase: Phase.Sent };
      state.inflight.set(packetId, { ...delivery });
      deliveries.push(delivery);
      packets.push(packet);
    }
    if (packets.length > 0) this.#write(state, deliveries, packets, to);
  }

  #write(
    _state: ShardState,
    deliveries: readonly records.InflightRecord[],
    packets: readonly Uint8Array[],
    to: ByteWriter,
  ): void {
    records.writeDeliverHeader(
      to,
      deliveries,
      packets.reduce((sum, { length }) => sum + length, 0),
    );
    for (const packet of packets) to.raw(packet);
  }

  #freeId(shard: number, state: ShardState): number {
    const { shards } = this.#placement;
    let packetId = shard === 0 ? shards : shard;
    while (state.inflight.has(packetId)) packetId += shards;
    return packetId;
  }

  /** Undefined when the client cannot take it. */
  #packet({ hello }: ShardState, qos: 0 | 1 | 2, packetId: number, dup: boolean): Uint8Array | undefined {
    const message = {
      version: hello.mqttVersion,
      qos,
      dup,
      retain: false,
      packetId,
      topic: encodeUtf8("a"),
      expirySeconds: undefined,
      subscriptionIds: this.#random.chance(0.2) ? [1] : [],
      properties: new Uint8Array(0),
      payload: Uint8Array.of(0x78),
    };
    return publishLength(message) > hello.packetBytesMax && !dup ? undefined : encodePublish(message);
  }
}
