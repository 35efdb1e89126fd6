/**
 * Delivers what waits for a session: retained messages that its subscriptions asked for, and the part of the log that
 * it has not had. It goes on while the connection allows it (grants) and takes it (bytes under way), and stops at a
 * place that is kept: nothing is copied for a session that is slow.
 */

import { remainingSeconds } from "../../mqtt/message.ts";
import type { Attendance, Subscription } from "./attendance.ts";
import { deliveredQos, encodeDelivery, merge, type Terms } from "./delivery.ts";
import type { Fanout } from "./fanout.ts";
import type { Log } from "./log.ts";
import type { Outbox } from "./outlet.ts";
import { packetIdPosition } from "../../mqtt/publish.ts";
import type { Retained } from "./retained.ts";
import type { Entry } from "./store.ts";
import { type Scan, writeHungry, writeScanned } from "../../link/records.ts";

export class Pump {
  readonly #log: Log;
  readonly #retained: Retained;
  readonly #fanout: Fanout;
  readonly #outbox: Outbox;
  readonly #backlogBytesMax: number;

  constructor(parts: { log: Log; retained: Retained; fanout: Fanout; outbox: Outbox }, backlogBytesMax: number) {
    this.#log = parts.log;
    this.#retained = parts.retained;
    this.#fanout = parts.fanout;
    this.#outbox = parts.outbox;
    this.#backlogBytesMax = backlogBytesMax;
  }

  /** Delivers as much as the session may have now. Returns true when something about it changed. */
  run(to: Attendance, now: number): boolean {
    if (!to.outlet || !to.owed) return false;
    this.#scan(to, now);
    this.#read(to, now);
    this.#tellHunger(to);
    return true;
  }

  /** True when a delivery of QoS > 0 can leave at once. */
  ready(to: Attendance): boolean {
    return to.outlet !== undefined && to.grants > 0 && to.outlet.backlogBytes < this.#backlogBytesMax;
  }

  /** Sends a packet of QoS > 0 under a packet id and a grant of its own. The id is written into `packet`. */
  deliver(to: Attendance, packet: Uint8Array, topicBytes: number, offset: number, source: number): void {
    const packetId = to.nextPacketId();
    const at = packetIdPosition(topicBytes, packet);
    packet[at] = packetId >> 8;
    packet[at + 1] = packetId & 0xff;
    const delivery = { packetId, offset, source };
    to.inflight.set(packetId, delivery);
    to.grants -= 1;
    this.#outbox.deliver(to.outlet!, packet, delivery);
  }

  /** The connection has to know that there is more than it allows. */
  #tellHunger(to: Attendance): void {
    if (to.grants > 0 || to.hungry || !to.owed || !to.outlet) return;
    to.hungry = true;
    writeHungry(this.#outbox.records(to.outlet));
  }

  #scan(to: Attendance, now: number): void {
    for (let subscription = to.scanning; subscription; subscription = to.scanning) {
      const done = this.#scanPage(to, subscription, subscription.scan!, now);
      writeScanned(this.#outbox.records(to.outlet!), subscription.number, subscription.scan?.after);
      if (!done) return;
    }
  }

  /** Returns false when the session can have no more now. */
  #scanPage(to: Attendance, subscription: Subscription, { after, upTo }: Scan, now: number): boolean {
    const { offsets, next } = this.#retained.page(subscription.filter, after, upTo);
    for (const offset of offsets) {
      const entry = this.#retained.at(offset, now);
      if (entry && !this.#sendRetained(to, subscription, entry, now)) return false;
      subscription.scan = { after: offset, upTo };
    }
    subscription.scan = next === undefined ? undefined : { after: next, upTo };
    return true;
  }

  /** Returns false when it may not be sent yet. */
  #sendRetained(to: Attendance, subscription: Subscription, { offset, message }: Entry, now: number): boolean {
    if (subscription.noLocal && message.publisher === to.session) return true;
    const terms = merge([subscription]);
    const packet = encodeDelivery(this.#outbox.arena, message, terms, to.mqttVersion, true, now);
    if (!packet || packet.length > to.packetBytesMax) return true;
    if (deliveredQos(message, terms) > 0) {
      if (!this.ready(to)) return false;
      this.deliver(to, packet, message.topicUtf8.length, offset, subscription.number);
      return true;
    }
    if (to.outlet!.backlogBytes >= this.#backlogBytesMax) return false;
    this.#outbox.share(to.outlet!, packet);
    return true;
  }

  #read(to: Attendance, now: number): void {
    while (to.behind !== undefined) {
      const entries = this.#log.read(to.behind);
      if (entries.length === 0) {
        to.behind = undefined;
        return;
      }
      for (const entry of entries) {
        if (!this.#sendLogged(to, entry, now)) return;
        to.behind = entry.offset;
      }
    }
  }

  /** Returns false when it may not be sent yet. */
  #sendLogged(to: Attendance, { offset, message }: Entry, now: number): boolean {
    if (remainingSeconds(message, now) === 0) return true;
    const terms = this.#loggedTerms(to, offset, message.topic, message.publisher);
    if (!terms) return true;
    if (!this.ready(to)) return false;
    const packet = encodeDelivery(this.#outbox.arena, message, terms, to.mqttVersion, false, now);
    // What the client cannot take counts as delivered [MQTT-3.1.2-25].
    if (!packet || packet.length > to.packetBytesMax) return true;
    this.deliver(to, packet, message.topicUtf8.length, offset, 0);
    return true;
  }

  /** What the session's subscriptions say of an entry of the log: those that are older than it and had it logged. */
  #loggedTerms(to: Attendance, offset: number, topic: string, publisher: string): Terms | undefined {
    const subscriptions = this.#fanout
      .plan(topic)
      .of(to)
      ?.subscriptions.filter(({ start, noLocal }) => start < offset && !(noLocal && publisher === to.session));
    if (!subscriptions || subscriptions.length === 0) return undefined;
    // What nobody wanted above QoS 0 was delivered live.
    return subscriptions.some(({ qos }) => qos > 0) ? merge(subscriptions) : undefined;
  }
}
