/** One connection of a chaos: its client, what it sent, what it asked for and what came, each with its moment. */

import { shardOfTopic } from "../../src/core/shard/placement.ts";
import { Holds, type Sending, type Wanted } from "./chaos-holds.ts";
import type { Client, Received, Version } from "../sim/world/client.ts";
import type { Link } from "../sim/world/link.ts";
import type { World } from "../sim/world/world.ts";

export interface Sent extends Sending {
  readonly by: Member;
  readonly number: number;
  readonly qos: 0 | 1;
  readonly retain: boolean;
  /** Empty: it clears the retained message. */
  readonly payload: string;
  ackedAt?: number;
  /** The link that it went over, if that was there. */
  readonly link: Link | undefined;
  /** It went over one link and was answered over it, so it was handed over once. */
  once: boolean;
}

export interface Came {
  readonly packet: Received;
  readonly at: number;
}

/** How a client's end was brought about. A takeover is the broker's doing. */
export type End = "cut" | "kill" | "disconnect" | "disconnect with will";

export interface MemberOptions {
  readonly clientId: string;
  readonly version: Version;
  readonly worker: string;
  readonly receiveMaximum: number;
  readonly willTopic: string;
}

export class Member {
  /** Unique, also among connections of one client id. */
  readonly name: string;
  readonly client: Client;
  readonly holds: Holds;
  readonly willTopic: string;
  readonly sent: Sent[] = [];
  readonly came: Came[] = [];
  readonly connectAt: number;
  connackAt: number | undefined;
  doneAt: number | undefined;
  end: { readonly how: End; readonly at: number } | undefined;
  killed = false;
  readonly #world: World;
  readonly #windowMax: number;
  readonly #byPacketId = new Map<number, Sent>();
  #seen = 0;

  constructor(world: World, name: string, options: MemberOptions, now: number) {
    const { clientId, version, worker, receiveMaximum, willTopic } = options;
    this.#world = world;
    this.name = name;
    this.connectAt = now;
    this.willTopic = willTopic;
    this.client = world.client(clientId, version, worker);
    this.holds = new Holds(clientId);
    this.#windowMax = Math.min(version === 5 ? receiveMaximum : 65_535, world.limits.inflightMax);
    const will = { topic: willTopic, payload: Buffer.from(`${name} will`), qos: 1 as const, retain: false };
    this.client.connect({ will, ...(version === 5 && { properties: { receiveMaximum } }) });
  }

  get clientId(): string {
    return this.client.id;
  }

  get open(): boolean {
    return this.connackAt !== undefined && this.client.closed === undefined && this.end === undefined;
  }

  /** The broker could not unsubscribe it in time, of which MQTT before 5.0 can only be told by closing. */
  get toldNoUnsuback(): boolean {
    return this.client.version < 5 && this.client.driver.reports.some(({ detail }) => detail.includes("UNSUBSCRIBE"));
  }

  get unanswered(): number {
    return this.#byPacketId.size;
  }

  publish(number: number, topic: string, qos: 0 | 1, retain: boolean, payload: string, now: number): Sent {
    const link = this.client.driver.links.get(shardOfTopic(topic, this.#world.placement));
    const packetId = this.client.publish(topic, payload, { qos, retain });
    const { clientId } = this;
    const sent: Sent = { by: this, clientId, number, topic, qos, retain, payload, sentAt: now, link, once: qos === 0 };
    this.sent.push(sent);
    if (qos === 1) this.#byPacketId.set(packetId, sent);
    return sent;
  }

  subscribe(wanted: readonly Wanted[], now: number): void {
    const five = this.client.version === 5;
    const filters = wanted.map(({ filter, qos, noLocal, retainAsPublished, retainHandling }) => ({
      topic: filter,
      qos,
      ...(five && { nl: noLocal, rap: retainAsPublished, rh: retainHandling }),
    }));
    const { identifier } = wanted[0]!;
    const properties = identifier > 0 ? { subscriptionIdentifier: identifier } : undefined;
    this.holds.subscribe(this.client.subscribe(filters, 1, properties), wanted, now);
  }

  unsubscribe(filters: readonly string[], now: number): void {
    this.holds.unsubscribe(this.client.unsubscribe(...filters), filters, now);
  }

  acknowledge(count: number): void {
    for (const packetId of [...this.client.unacknowledged].slice(0, count)) this.client.puback(packetId);
  }

  disconnect(withWill: boolean, now: number): void {
    this.end = { how: withWill ? "disconnect with will" : "disconnect", at: now };
    this.client.send({ cmd: "disconnect", ...(this.client.version === 5 && { reasonCode: withWill ? 4 : 0 }) });
  }

  /** Takes note of what has come by now. */
  observe(now: number): void {
    const { client } = this;
    if (client.driver.done) this.doneAt ??= now;
    for (; this.#seen < client.received.length; this.#seen++) this.#on(client.received[this.#seen]!, now);
    if (client.unacknowledged.size > this.#windowMax) {
      throw new Error(`${this.name} has ${client.unacknowledged.size} to acknowledge, of ${this.#windowMax}`);
    }
    if (client.reused.length > 0) throw new Error(`${this.name} was sent packet id ${client.reused[0]} twice`);
  }

  #on(packet: Received, now: number): void {
    const { messageId } = packet;
    switch (packet.cmd) {
      case "connack":
        if ((packet.reasonCode ?? packet.returnCode) === 0) this.connackAt = now;
        return;
      case "puback":
        this.#acknowledged(messageId!, packet.reasonCode ?? 0, now);
        return;
      case "suback":
        this.holds.answered(messageId!, packet.granted!, now);
        return;
      case "unsuback":
        this.holds.answered(messageId!, packet.granted ?? [], now);
        return;
      case "publish":
        if (packet.dup) throw new Error(`${this.name} was sent a DUP`);
        this.came.push({ packet, at: now });
        return;
    }
  }

  #acknowledged(packetId: number, reason: number, now: number): void {
    const sent = this.#byPacketId.get(packetId);
    if (!sent) throw new Error(`${this.name} was acknowledged ${packetId} without need`);
    if (reason !== 0) throw new Error(`${this.name} was answered ${reason}`);
    this.#byPacketId.delete(packetId);
    sent.ackedAt = now;
    const link = this.client.driver.links.get(shardOfTopic(sent.topic, this.#world.placement));
    sent.once = link !== undefined && link === sent.link;
  }
}
