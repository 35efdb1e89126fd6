/**
 * A message's way from its publisher to everybody who is here: into the log if somebody wants it kept, among the
 * retained if it says so, and out at once to every session that can have it now. Who cannot falls behind, and the pump
 * reads it from the log later.
 */

import type { Message } from "../../mqtt/message.ts";
import type { Attendance } from "./attendance.ts";
import { deliveredQos, encodeDelivery, type Terms } from "./delivery.ts";
import type { Fanout, Plan } from "./fanout.ts";
import type { Grace } from "./grace.ts";
import type { Log } from "./log.ts";
import type { Outbox } from "./outlet.ts";
import type { Pump } from "./pump.ts";
import type { Retained } from "./retained.ts";
import type { ShareGroup } from "./share-group.ts";
import type { SharePump } from "./share-pump.ts";
import { type AliasSlot, TopicAliases } from "./topic-aliases.ts";

export interface DispatchHost {
  /** Something is to be saved at the next checkpoint. */
  unsaved(now: number): void;
  /** What a session's link remembers is out of date. */
  touch(attendance: Attendance, now: number): void;
  /** A session has fallen behind. */
  behind(attendance: Attendance): void;
  /** A share group has fallen behind. */
  groupBehind(group: ShareGroup): void;
  /** A QoS 0 message was dropped for a session that does not take what is under way to it. */
  dropped(): void;
  /** A message is delivered and not kept for its topic, as there are too many of them. */
  notRetained(): void;
}

interface Parts {
  readonly log: Log;
  readonly retained: Retained;
  readonly fanout: Fanout;
  readonly outbox: Outbox;
  readonly pump: Pump;
  readonly sharePump: SharePump;
  readonly grace: Grace;
}

/** How a packet names its topic: by its name, by that and an alias, or by an alias alone. */
const Form = { Plain: 0, Introducing: 1, Known: 2 } as const;
type Form = (typeof Form)[keyof typeof Form];
const FORMS = 3;

export class Dispatch {
  readonly #parts: Parts;
  readonly #host: DispatchHost;
  readonly #backlogBytesMax: number;
  readonly #aliases = new TopicAliases();

  constructor(parts: Parts, host: DispatchHost, backlogBytesMax: number) {
    this.#parts = parts;
    this.#host = host;
    this.#backlogBytesMax = backlogBytesMax;
  }

  publish(message: Message, now: number): void {
    const { fanout, outbox, pump } = this.#parts;
    const plan = fanout.plan(message.topic);
    const offset = this.#keep(message, plan, now);
    const slot = plan.aliasing ? this.#aliases.of(message) : undefined;
    // Equal packets are encoded once, and are one array: the outbox knows by it that they are equal.
    const packets = new Array<Uint8Array | undefined>(plan.encodings * FORMS);
    for (const { attendance, encoding, terms: everyones, ownTerms } of plan.recipients) {
      const own = ownTerms !== everyones && attendance.session === message.publisher;
      const terms = own ? ownTerms : everyones;
      if (!terms) continue;
      const qos = deliveredQos(message, terms);
      if (qos > 0 ? !this.#isCurrent(attendance, offset!, now) : !this.#takesQos0(attendance, now)) continue;
      const form = own ? Form.Plain : formFor(attendance, slot);
      const packet = own
        ? encodeDelivery(outbox.arena, message, terms, attendance.mqttVersion, false, now)
        : (packets[encoding * FORMS + form] ??= this.#encode(message, terms, attendance, form, slot, now));
      if (!packet || packet.length > attendance.packetBytesMax) continue; // [MQTT-3.1.2-25]
      if (form === Form.Introducing) attendance.aliases[slot!.index] = slot!.serial;
      if (qos === 0) {
        outbox.share(attendance.outlet!, packet);
      } else {
        this.#host.touch(attendance, now);
        const topicBytes = form === Form.Known ? 0 : message.topicUtf8.length;
        pump.deliver(attendance, outbox.arena.copy(packet), topicBytes, offset!, 0);
      }
    }
    for (const group of plan.groups) this.#share(group, message, offset, now);
  }

  #encode(
    message: Message,
    terms: Terms,
    to: Attendance,
    form: Form,
    slot: AliasSlot | undefined,
    now: number,
  ): Uint8Array | undefined {
    const alias = form === Form.Plain ? undefined : { number: to.aliasOf(slot!), known: form === Form.Known };
    return encodeDelivery(this.#parts.outbox.arena, message, terms, to.mqttVersion, false, now, alias);
  }

  #share(group: ShareGroup, message: Message, offset: number | undefined, now: number): void {
    if (this.#parts.sharePump.publish(group, message, offset, now)) return;
    if (message.qos > 0 && group.qos > 0) this.#host.groupBehind(group);
    else if (group.order.some(({ outlet }) => outlet !== undefined)) this.#host.dropped();
  }

  /** Puts a message into the log and among the retained, if it belongs there. Returns its offset if it has one. */
  #keep(message: Message, plan: Plan, now: number): number | undefined {
    const { log, retained, grace } = this.#parts;
    const logged = message.qos > 0 && (grace.recovering(now) || plan.keeps);
    if (!logged && !message.retain) return undefined;
    const offset = log.issue();
    if (logged) log.append(offset, message);
    if (message.retain && !retained.set(offset, message)) this.#host.notRetained();
    this.#host.unsaved(now);
    return offset;
  }

  /** True when a session that had everything before `offset` can be sent it now; otherwise it falls behind. */
  #isCurrent(attendance: Attendance, offset: number, now: number): boolean {
    if (attendance.behind === undefined) {
      if (attendance.resends.length === 0 && this.#parts.pump.ready(attendance)) return true;
      attendance.behind = offset - 1;
      this.#host.touch(attendance, now);
    }
    this.#host.behind(attendance);
    return false;
  }

  #takesQos0({ outlet }: Attendance, now: number): boolean {
    if (!outlet) return false;
    if (outlet.qos0Rate?.allows(now) === false) {
      this.#host.dropped();
      return false;
    }
    if (outlet.backlogBytes < this.#backlogBytesMax) return true;
    this.#host.dropped();
    return false;
  }
}

function formFor({ aliasSlots, aliases }: Attendance, slot: AliasSlot | undefined): Form {
  if (!slot || slot.index >= aliasSlots) return Form.Plain;
  return aliases[slot.index] === slot.serial ? Form.Known : Form.Introducing;
}
