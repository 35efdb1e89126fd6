/**
 * What comes to one session of a device, and what must hold of it at once: it was sent and asked for, on these terms, in
 * order, and once. Above QoS 0 nothing may come twice but QoS 1, and that only after something went wrong.
 */

import type { Received } from "../../sim/world/client.ts";
import type { Attempt } from "./attempt.ts";
import type { Sent } from "./messages.ts";
import type { Subscriptions } from "./subscriptions.ts";

/** A PUBLISH that a device took for a new one. */
export interface Came {
  readonly packet: Received;
  /** Undefined for a payload that says nothing: it clears a retained message. */
  readonly sent: Sent | undefined;
  readonly attempt: Attempt;
  /** Its place among all that came to the session. */
  readonly order: number;
  readonly at: number;
  readonly ms: number;
  /** When PUBACK or PUBCOMP was sent. */
  answeredMs: number | undefined;
  /** The device would not have it, and does not remember it. */
  rejected: boolean;
}

/** Was the broker disturbed, other than by clients that come and go? */
export interface Weather {
  disturbed(fromMs: number, toMs: number): boolean;
}

/** What a client has said is with its shard when so much time has passed, unless something is broken. */
const TOLD_MS = 1_000;

export class Arrivals {
  readonly all: Came[] = [];
  readonly #name: string;
  readonly #subscriptions: Subscriptions;
  readonly #weather: Weather;
  readonly #copies = new Map<Sent, Came[]>();
  /** By publisher, topic and QoS. */
  readonly #latest = new Map<string, Sent>();
  /** Wills that came live, above QoS 0. */
  readonly #wills: Sent[] = [];

  constructor(name: string, subscriptions: Subscriptions, weather: Weather) {
    this.#name = name;
    this.#subscriptions = subscriptions;
    this.#weather = weather;
  }

  copies(sent: Sent): readonly Came[] {
    return this.#copies.get(sent) ?? [];
  }

  take(came: Came): void {
    this.all.push(came);
    const { sent } = came;
    if (!sent) return;
    this.#checkTerms(came, sent);
    this.#checkExpiry(came, sent);
    let copies = this.#copies.get(sent);
    if (!copies) {
      this.#copies.set(sent, (copies = []));
      if (!came.packet.retain) this.#checkOrder(came, sent);
    }
    copies.push(came);
    this.#checkOnce(copies, sent);
  }

  /** When everything is over it is known of each message whether it was handed over once. */
  checkOnce(): void {
    for (const [sent, copies] of this.#copies) this.#checkOnce(copies, sent);
  }

  #checkTerms({ packet, at, attempt }: Came, sent: Sent): void {
    const what = `${this.#name} got "${sent.text}" on ${packet.topic}`;
    if (sent.topic !== packet.topic) throw new Error(`${what}, which nobody sent`);
    const may = this.#subscriptions.may(sent, at);
    const retained = sent.retain && packet.retain ? this.#subscriptions.mayRetained(sent, at) : [];
    const terms = [...may, ...retained];
    if (terms.length === 0) throw new Error(`${what} without a subscription`);
    if (packet.retain && !sent.retain) throw new Error(`${what} with RETAIN`);
    if (packet.retain && retained.length === 0 && !may.some(({ retainAsPublished }) => retainAsPublished)) {
      throw new Error(`${what} with RETAIN and without asking`);
    }
    const most = Math.min(sent.qos, Math.max(...terms.map(({ qos }) => qos)));
    if (packet.qos! > most) throw new Error(`${what} with QoS ${packet.qos}, above ${most}`);
    const identifiers = [packet.properties?.["subscriptionIdentifier"] ?? []].flat() as number[];
    // What is sent again may have those of subscriptions that came since.
    const asked = packet.dup ? this.#subscriptions.asked(sent.topic, at) : terms;
    const strange = identifiers.find((id) => asked.every((one) => one.identifier !== id));
    if (strange !== undefined) throw new Error(`${what} with the identifier ${strange}`);
    // What is sent again is what was sent, whatever was asked for since.
    if (sent.retain || packet.dup) return;
    for (const one of this.#subscriptions.must(sent, at)) {
      const least = Math.min(sent.qos, one.qos);
      if (packet.qos! < least) throw new Error(`${what} with QoS ${packet.qos}, below ${least}`);
      if (attempt.options.version === 5 && one.identifier > 0 && !identifiers.includes(one.identifier)) {
        throw new Error(`${what} without the identifier ${one.identifier}`);
      }
    }
  }

  /** Message Expiry Interval comes less the time that the message waited [MQTT-3.3.2-6]. */
  #checkExpiry({ packet, ms, attempt }: Came, { text, sentMs, expirySeconds, resent }: Sent): void {
    if (attempt.options.version < 5) return;
    // Its publisher may have sent it again from an earlier version, which has none.
    if (expirySeconds !== undefined && resent) return;
    const left = packet.properties?.["messageExpiryInterval"] as number | undefined;
    const least = Math.max(1, (expirySeconds ?? 0) - Math.ceil((ms - sentMs) / 1000));
    if (left === expirySeconds || (left !== undefined && left >= least && left <= (expirySeconds ?? 0))) return;
    throw new Error(`${this.#name} got "${text}" with ${left} s left of ${expirySeconds}, not ${least} or more`);
  }

  /** First copies come in the order of sending, by publisher, topic and QoS [MQTT-4.6.0-5], and wills come last. */
  #checkOrder({ packet, at }: Came, sent: Sent): void {
    if (sent.willOf) {
      if (packet.qos! > 0) this.#wills.push(sent);
      return;
    }
    // What has expired is left out, and comes when its publisher sends it again.
    if (sent.expirySeconds !== undefined) return;
    const flow = `${sent.clientId} ${sent.topic} ${sent.qos} ${packet.qos}`;
    const latest = this.#latest.get(flow);
    if (latest && sent.number < latest.number) {
      // Who subscribes late, or at QoS 0, may get the end of what is published, and then all of it again.
      const late = packet.qos === 0 || !this.#subscriptions.must(sent, at).some(({ qos }) => qos > 0);
      if (sent.qos === 1 && !sent.once && late) return;
      // So may what the publisher has given up with its session, whenever the broker comes to it.
      if (sent.attempt !== latest.attempt && sent.ackedAt === undefined && sent.attempt.end) return;
      throw new Error(`${this.#name} got "${latest.text}" before "${sent.text}": ${flow}`);
    }
    this.#latest.set(flow, sent);
    const will = this.#wills.find((one) => isBefore(sent, one));
    if (will) throw new Error(`${this.#name} got "${will.text}" before "${sent.text}" of the same client`);
  }

  /** The last copy of several was one too many, or was not. */
  #checkOnce(copies: readonly Came[], sent: Sent): void {
    const last = copies.at(-1)!;
    const counted = copies.filter(({ rejected }) => !rejected);
    const live = counted.filter(({ packet }) => !packet.retain);
    const scans = this.#scans(sent, last.at);
    const published = this.#subscriptions.may(sent, last.at).some(({ retainAsPublished }) => retainAsPublished) ? 1 : 0;
    if (live.length <= 1 && counted.length - live.length <= scans + published && counted.length <= 1 + scans) return;
    if (sent.qos === 1 && !sent.once) return;
    if (copies.some((earlier) => earlier !== last && this.#mayComeAgain(earlier, last))) return;
    throw new Error(`${this.#name} got "${sent.text}" ${copies.length} times`);
  }

  /** How many SUBSCRIBEs asked for it as a retained message, or for one that another goes on with. */
  #scans(sent: Sent, at: number): number {
    return sent.retain ? this.#subscriptions.scans(sent.topic).filter(({ askedAt }) => askedAt <= at).length : 0;
  }

  /** Is it possible that the broker does not know of the acknowledgement of what came at QoS 1? */
  #mayComeAgain(earlier: Came, last: Came): boolean {
    const { attempt, packet } = earlier;
    // A retained one of QoS 0 is as good as acknowledged when it comes: how far the scan is, is stored as lazily.
    const answeredMs = packet.qos === 0 ? earlier.ms : earlier.answeredMs;
    if (packet.qos === 2 || (packet.qos === 0 && !packet.retain) || attempt === last.attempt) return false;
    if (answeredMs === undefined || attempt.killed) return true;
    // What the connection had told its shard by its end is stored, whatever happens afterwards.
    const told = attempt.end!.how.startsWith("disconnect") || answeredMs < attempt.end!.ms - TOLD_MS;
    const over = attempt.overMs < last.attempt.connectMs;
    return !told || !over || this.#weather.disturbed(answeredMs - TOLD_MS, attempt.overMs);
  }
}

/** A message of the connection whose will it is, or of one before, that was not sent again in a later one. */
function isBefore(sent: Sent, will: Sent): boolean {
  return sent.topic === will.topic && sent.clientId === will.clientId && sent.attempt.number <= will.willOf!.number;
}
