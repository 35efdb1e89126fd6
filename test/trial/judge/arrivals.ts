/**
 * What comes to one session, and what must hold of it: it was sent and asked for, on these terms, in order, and once. Above
 * QoS 0 nothing may come twice but QoS 1, and that only after something went wrong.
 */

import type { ClientEvent } from "../history.ts";
import type { Connection } from "./connection.ts";
import { flow, type Message } from "./message.ts";
import type { Retained } from "./retained.ts";
import { fits, type Way } from "./membership.ts";
import type { Subscriptions } from "./subscriptions.ts";
import type { Moment, Verdict } from "./verdict.ts";
import type { Weather } from "./weather.ts";

export type Received = ClientEvent & { type: "received" };

/** A PUBLISH that the client took for a new one. */
export interface Came {
  readonly packet: Received;
  /** Undefined for a payload that says nothing: it clears a retained message. */
  readonly message: Message | undefined;
  readonly connection: Connection;
  /** Its place among all that came to the session. */
  readonly order: number;
  readonly at: Moment;
  /** When PUBACK, PUBCOMP or a PUBREC that refuses was sent. */
  answeredMs: number | undefined;
  /** The client would not have it, and does not remember it. */
  refused: boolean;
  /** Which of the session's subscriptions it may be for. */
  way: Way;
}

interface Problem {
  readonly rule: "uninvited" | "terms";
  readonly what: string;
}

/** What a client has said is with its shard when so much time has passed, unless something is broken. */
export const TOLD_MS = 1_000;

export class Arrivals {
  count = 0;
  readonly #client: string;
  readonly #subscriptions: Subscriptions;
  readonly #retained: Retained;
  readonly #weather: Weather;
  readonly #verdict: Verdict;
  readonly #copies = new Map<Message, Came[]>();
  /** The newest first copy, by flow and by the QoS that it came with. */
  readonly #latest = new Map<string, Message>();
  readonly #newest = new Map<string, Message>();
  /** Wills that came live, above QoS 0. */
  readonly #wills: Message[] = [];

  constructor(client: string, subscriptions: Subscriptions, retained: Retained, weather: Weather, verdict: Verdict) {
    this.#client = client;
    this.#subscriptions = subscriptions;
    this.#retained = retained;
    this.#weather = weather;
    this.#verdict = verdict;
  }

  copies(message: Message): readonly Came[] {
    return this.#copies.get(message) ?? [];
  }

  /** Copies that may have come for other than shared subscriptions. */
  own(message: Message): readonly Came[] {
    return this.copies(message).filter(({ way }) => way.own);
  }

  /** Everything that came at least once. */
  get messages(): Iterable<Message> {
    return this.#copies.keys();
  }

  /** The newest message of a flow that came, for other than shared subscriptions. */
  newest(message: Message): Message | undefined {
    return this.#newest.get(flow(message));
  }

  take(came: Came): void {
    this.count += 1;
    const { packet, message } = came;
    if (!message) return;
    const problem = this.#findWay(came, message);
    if (problem) {
      this.#verdict.find(problem.rule, this.#client, `${said(packet)} ${problem.what}`, packet.payload);
      if (problem.rule === "uninvited") return;
    }
    this.#checkExpiry(came, message);
    const isShared = came.way.groups.length > 0;
    if (packet.retain && !isShared) this.#checkReplaced(message);
    const isFirst = this.own(message).length === 0;
    const copies = this.#copies.get(message);
    if (copies) copies.push(came);
    else this.#copies.set(message, [came]);
    if (isFirst && !isShared && !packet.retain) this.#checkOrder(packet, message);
  }

  /** When everything is over it is known of each message whether it was handed over once. */
  end(): void {
    for (const [message, all] of this.#copies) {
      const copies = all.filter(({ way }) => way.groups.length === 0);
      for (let last = 1; last < copies.length; last++) {
        if (this.#cameOnce(copies.slice(0, last + 1), message)) continue;
        const { packet, at } = copies[last]!;
        this.#verdict.find("repeated", this.#client, `${said(packet)} came ${last + 1} times`, packet.payload, at);
        break;
      }
    }
  }

  /**
   * What comes once for the session's own subscriptions comes once more for each group that it is in, and identifiers may
   * tell which is which. What is sent again is for what it was for; QoS 2 that is complete is not sent again.
   */
  #findWay(came: Came, message: Message): Problem | undefined {
    const { packet } = came;
    const own = this.#checkTerms(came, message);
    const shared = this.#subscriptions.shared(packet.topic);
    if (shared.length === 0) return own;
    const before = this.copies(message).findLast(({ packet: earlier, answeredMs }) => {
      const isOpen = earlier.qos < 2 || answeredMs === undefined;
      return isOpen && earlier.packetId === packet.packetId && earlier.qos === packet.qos;
    });
    if (packet.dup && before) {
      came.way = before.way;
      return undefined;
    }
    const fitting = shared.filter(([, asks]) => fits(asks, came, message)).map(([filter]) => filter);
    if (fitting.length === 0) return own;
    came.way = { own: own === undefined, groups: fitting };
    return undefined;
  }

  #checkTerms({ packet, connection }: Came, message: Message): Problem | undefined {
    const { topic, qos, retain, dup, identifiers = [] } = packet;
    const may = this.#subscriptions.may(message);
    const retained = message.retain && retain ? this.#subscriptions.mayRetained(message) : [];
    const terms = [...may, ...retained];
    if (terms.length === 0) {
      const asked = this.#subscriptions.asked(topic).length > 0;
      return {
        rule: "uninvited",
        what: asked ? "matches no subscription that was there" : "matches no subscription",
      };
    }
    const wrong = (what: string): Problem => ({ rule: "terms", what });
    if (retain && retained.length === 0 && !may.some(({ retainAsPublished }) => retainAsPublished)) {
      return wrong("has RETAIN, which nobody asked for");
    }
    const most = Math.min(message.qos, Math.max(...terms.map((one) => one.qos)));
    if (qos > most) return wrong(`has QoS ${qos}, above ${most}`);
    // What is sent again may have those of subscriptions that came since.
    const asked = dup ? this.#subscriptions.asked(topic) : terms;
    const strange = identifiers.find((id) => asked.every(({ identifier }) => identifier !== id));
    if (strange !== undefined) return wrong(`has the identifier ${strange}`);
    // What is sent again is what was sent, whatever was asked for since.
    if (message.retain || dup) return undefined;
    for (const one of this.#subscriptions.must(message)) {
      const least = Math.min(message.qos, one.qos);
      if (qos < least) return wrong(`has QoS ${qos}, below ${least}`);
      if (connection.version === 5 && one.identifier > 0 && !identifiers.includes(one.identifier)) {
        return wrong(`has not the identifier ${one.identifier}`);
      }
    }
    return undefined;
  }

  /** Message Expiry Interval comes less the time that the message waited [MQTT-3.3.2-6]. */
  #checkExpiry({ packet, at, connection }: Came, { expirySeconds, again, sent }: Message): void {
    if (connection.version < 5) return;
    // Its publisher may have sent it again from an earlier version, which has none.
    if (expirySeconds !== undefined && again) return;
    const left = packet.expirySeconds;
    const least = Math.max(1, (expirySeconds ?? 0) - Math.ceil((at.ms - sent.ms) / 1000));
    if (left === expirySeconds || (left !== undefined && left >= least && left <= (expirySeconds ?? 0))) return;
    const what = `${said(packet)} has ${left} s left of ${expirySeconds}, not ${least} or more`;
    this.#verdict.find("expiry", this.#client, what, packet.payload);
  }

  /** What came as a retained message was not replaced before anybody asked for it. */
  #checkReplaced(message: Message): void {
    const asked = this.#subscriptions.scans(message.topic).map(({ askedAt }) => askedAt);
    const instead = this.#retained.replacement(message, Math.min(...asked));
    if (!instead || this.#subscriptions.may(message).some(({ retainAsPublished }) => retainAsPublished)) return;
    const what = `"${message.payload}" came for "${instead.payload}" on ${message.topic}`;
    this.#verdict.find("retained", this.#client, what, message.payload);
  }

  /** First copies come in the order of sending, by publisher, topic and QoS [MQTT-4.6.0-5], and wills come last. */
  #checkOrder(packet: Received, message: Message): void {
    if (message.isWill) {
      if (packet.qos > 0) this.#wills.push(message);
      return;
    }
    const newest = this.newest(message);
    if (!newest || newest.sent.index < message.sent.index) this.#newest.set(flow(message), message);
    // What has expired is left out, and comes when its publisher sends it again.
    if (message.expirySeconds !== undefined) return;
    const key = `${flow(message)} ${packet.qos}`;
    const latest = this.#latest.get(key);
    if (latest && message.sent.index < latest.sent.index) {
      if (!this.#mayBeLate(packet, message, latest)) {
        this.#verdict.find("order", this.#client, `${said(packet)} came after "${latest.payload}"`, packet.payload);
      }
      return;
    }
    this.#latest.set(key, message);
    const will = this.#wills.find((one) => isBefore(message, one));
    if (will) {
      this.#verdict.find(
        "order",
        this.#client,
        `${said(packet)} came after the will "${will.payload}"`,
        packet.payload,
      );
    }
  }

  #mayBeLate(packet: Received, message: Message, latest: Message): boolean {
    // Who subscribes late, or at QoS 0, may get the end of what is published, and then all of it again.
    // So may who lost the first copy to a limit.
    const late =
      this.#weather.loses || packet.qos === 0 || !this.#subscriptions.must(message).some(({ qos }) => qos > 0);
    if (message.qos === 1 && !this.#wasSentOnce(message) && late) return true;
    // So may what the publisher has given up with its session, whenever the broker comes to it.
    const { connection, acknowledged } = message;
    return connection !== latest.connection && acknowledged === Infinity && connection.end !== undefined;
  }

  #cameOnce(copies: readonly Came[], message: Message): boolean {
    const last = copies.at(-1)!;
    const counted = copies.filter(({ refused }) => !refused);
    const live = counted.filter(({ packet }) => !packet.retain);
    const scans = this.#scans(message, last.at.index);
    const asPublished = this.#subscriptions.may(message).some(({ retainAsPublished }) => retainAsPublished) ? 1 : 0;
    if (live.length <= 1 && counted.length - live.length <= scans + asPublished && counted.length <= 1 + scans) {
      return true;
    }
    if (message.qos === 1 && !this.#wasSentOnce(message)) return true;
    return copies.some((earlier) => earlier !== last && this.#mayComeAgain(earlier, last));
  }

  /** How many SUBSCRIBEs asked for it as a retained message, or for one that another goes on with. */
  #scans({ topic, retain }: Message, at: number): number {
    return retain ? this.#subscriptions.scans(topic).filter(({ askedAt }) => askedAt <= at).length : 0;
  }

  /** Is it possible that the broker does not know of the acknowledgement of what came at QoS 1? */
  #mayComeAgain(earlier: Came, last: Came): boolean {
    const { connection, packet } = earlier;
    // A retained one of QoS 0 is as good as acknowledged when it comes: how far the scan is, is stored as lazily.
    const answeredMs = packet.qos === 0 ? earlier.at.ms : earlier.answeredMs;
    if (packet.qos === 2 || (packet.qos === 0 && !packet.retain) || connection === last.connection) return false;
    if (answeredMs === undefined || connection.killed) return true;
    // What the connection had told its shard by its end is stored, whatever happens afterwards.
    const told = connection.disconnect !== undefined || answeredMs < connection.endMs - TOLD_MS;
    const overMs = connection.over?.ms ?? Infinity;
    return !told || overMs >= last.connection.connect.ms || this.#weather.disturbed(answeredMs - TOLD_MS, overMs);
  }

  /** It was handed over once: at QoS 2 in any case, at QoS 1 if it was answered in peace. */
  #wasSentOnce(message: Message): boolean {
    return wasSentOnce(message, this.#weather);
  }
}

/** The broker had no reason to take it for two messages. */
export function wasSentOnce(message: Message, weather: Weather): boolean {
  if (message.qos !== 1 || message.isWill) return true;
  if (message.again || message.acknowledged === Infinity) return false;
  return !weather.disturbed(message.sent.ms, message.acknowledgedMs);
}

/** A message of the connection whose will it is, or of one before, that was not sent again in a later one. */
function isBefore(message: Message, will: Message): boolean {
  const isIts = message.topic === will.topic && message.publisher === will.publisher;
  return isIts && message.connection.number <= will.connection.number;
}

export function said({ payload, topic }: Received): string {
  return `"${payload}" on ${topic}`;
}
