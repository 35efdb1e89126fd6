/**
 * Delivers what waits for a session: retained messages that its subscriptions asked for, and the part of the log that
 * it has not had. It goes on while the connection allows it (grants) and takes it (bytes under way), and stops at a
 * place that is kept: nothing is copied for a session that is slow.
 */

import { remainingSeconds } from "../../mqtt/message.ts";
import type { Attendance, Subscription } from "./attendance.ts";
import { deliveredQos, encodeAgain, encodeDelivery, merge } from "./delivery.ts";
import type { Fanout } from "./fanout.ts";
import type { Log } from "./log.ts";
import type { Outbox } from "./outlet.ts";
import { packetIdPosition } from "../../mqtt/publish.ts";
import type { Places } from "./place.ts";
import type { Retained } from "./retained.ts";
import type { Entry } from "./store.ts";
import { type InflightRecord, Phase, type Scan, writeHungry, writeRecorded, writeScanned } from "../../link/records.ts";

interface Parts {
  readonly log: Log;
  readonly retained: Retained;
  readonly fanout: Fanout;
  readonly outbox: Outbox;
  readonly places: Places;
}

export class Pump {
  readonly #log: Log;
  readonly #retained: Retained;
  readonly #fanout: Fanout;
  readonly #outbox: Outbox;
  readonly #places: Places;
  readonly #backlogBytesMax: number;
  /** A message was to be sent again and is gone, because a limit took it from the log. */
  readonly #lost: () => void;

  constructor(parts: Parts, backlogBytesMax: number, lost: () => void) {
    this.#log = parts.log;
    this.#retained = parts.retained;
    this.#fanout = parts.fanout;
    this.#outbox = parts.outbox;
    this.#places = parts.places;
    this.#backlogBytesMax = backlogBytesMax;
    this.#lost = lost;
  }

  /** Delivers as much as the session may have now. Returns true when something about it changed. */
  run(to: Attendance, now: number): boolean {
    if (!to.outlet || !to.owed) return false;
    // What was sent before is sent again before anything new [MQTT-4.6.0-1].
    if (this.#resend(to, now)) {
      this.#scan(to, now);
      this.#read(to, now);
    }
    this.#tellHunger(to);
    return true;
  }

  /** True when a delivery of QoS > 0 can leave at once. */
  ready(to: Attendance): boolean {
    return this.#mayHave(to) && to.hasFreeId;
  }

  #mayHave({ outlet, grants }: Attendance): boolean {
    return outlet !== undefined && grants > 0 && outlet.backlogBytes < this.#backlogBytesMax;
  }

  /** Sends a packet of QoS > 0 under a packet id and a grant of its own. The id is written into `packet`, and returned. */
  deliver(
    to: Attendance,
    packet: Uint8Array,
    topicBytes: number,
    offset: number,
    source: number,
    shared = false,
  ): number {
    const packetId = to.nextPacketId();
    const first = packet[0]!;
    const qos = (first >> 1) & 2 ? 2 : 1;
    const retain = (first & 1) !== 0;
    const delivery: InflightRecord = shared
      ? { packetId, offset, source, qos, retain, phase: Phase.Sent, shared }
      : { packetId, offset, source, qos, retain, phase: Phase.Sent };
    to.inflight.set(packetId, delivery);
    this.#send(to, packet, topicBytes, delivery);
    return packetId;
  }

  #send(to: Attendance, packet: Uint8Array, topicBytes: number, delivery: InflightRecord): void {
    const at = packetIdPosition(topicBytes, packet);
    packet[at] = delivery.packetId >> 8;
    packet[at + 1] = delivery.packetId & 0xff;
    to.grants -= 1;
    // [MQTT-4.3.3-1] Once it is out, only its own packet id may bring it again.
    if (delivery.qos === 2) this.#places.exact(to);
    this.#outbox.deliver(to.outlet!, packet, delivery);
  }

  /** Sends again what earlier connections left unacknowledged. Returns false when some of it may not be sent yet. */
  #resend(to: Attendance, now: number): boolean {
    for (let delivery = to.resends[0]; delivery; delivery = to.resends[0]) {
      const packet = this.#again(to, delivery, now);
      if (packet) {
        if (!this.#mayHave(to)) return false;
        delivery.phase = Phase.Resent;
        this.#send(to, packet.bytes, packet.topicBytes, delivery);
      } else if (delivery.qos === 2) {
        // Its message is gone, but the client may hold its id: PUBREL frees it [MQTT-4.3.3-6].
        this.#missed(delivery);
        delivery.phase = Phase.Received;
        this.#places.exact(to);
        writeRecorded(this.#outbox.records(to.outlet!), delivery.packetId);
      } else {
        this.#missed(delivery);
        to.inflight.delete(delivery.packetId);
        const shared = to.shared.get(delivery.packetId);
        to.shared.delete(delivery.packetId);
        shared?.group.done(shared.offset);
      }
      to.resends.shift();
    }
    return true;
  }

  /** Nobody knows whether its client has it. Of retained messages another may have taken its place. */
  #missed({ offset, source, shared }: InflightRecord): void {
    if ((source === 0 || shared) && !this.#log.at(offset)) this.#lost();
  }

  /** The packet of a delivery once more; undefined when its message is gone, or too large for this connection. */
  #again(to: Attendance, delivery: InflightRecord, now: number): { bytes: Uint8Array; topicBytes: number } | undefined {
    const { offset, source, qos, retain, shared } = delivery;
    const retained = source !== 0 && !shared;
    const message = retained ? this.#retained.stored(offset) : this.#log.at(offset);
    if (!message) return undefined;
    const identifiers = shared
      ? identifiersOf(to.shared.get(delivery.packetId)?.group.members.get(to))
      : (this.#fanout.plan(message.topic).of(to)?.terms.identifiers ?? []);
    const terms = { qos, retainAsPublished: retain, identifiers };
    const bytes = encodeAgain(this.#outbox.arena, message, terms, to.mqttVersion, retained, now);
    return bytes.length > to.packetBytesMax ? undefined : { bytes, topicBytes: message.topicUtf8.length };
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
    while (to.behind !== undefined && !this.#log.tired) {
      const entries = this.#log.read(to.behind);
      if (entries.length === 0) {
        to.behind = undefined;
        to.uncertain = false;
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
    const terms = this.#fanout.terms(to, message, offset);
    if (!terms) return true;
    if (!this.ready(to)) return false;
    const packet = encodeDelivery(this.#outbox.arena, message, terms, to.mqttVersion, false, now);
    // What the client cannot take counts as delivered [MQTT-3.1.2-25].
    if (!packet || packet.length > to.packetBytesMax) return true;
    this.deliver(to, packet, message.topicUtf8.length, offset, 0);
    return true;
  }
}

function identifiersOf(subscription: Subscription | undefined): readonly number[] {
  return subscription ? merge([subscription]).identifiers : [];
}
