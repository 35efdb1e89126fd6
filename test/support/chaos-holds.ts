/**
 * What one client asked of its subscriptions, and when which of it was in force. Times are *moments*: whatever a party
 * does at moment m comes before what arrives at moment m, which comes before what is done at m + 1.
 */

import { matches } from "./chaos-plan.ts";

/** What one SUBSCRIBE said of one filter. */
export interface Terms {
  readonly hold: Hold;
  readonly qos: 0 | 1;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  readonly retainHandling: 0 | 1 | 2;
  readonly identifier: number;
  readonly askedAt: number;
  grantedAt?: number;
  /** Something else was asked of the filter, */
  endedAt?: number;
  /** and that was answered. */
  goneAt?: number;
}

/** A filter from the first SUBSCRIBE to UNSUBSCRIBE. */
export interface Hold {
  readonly filter: string;
  readonly terms: Terms[];
  /** UNSUBSCRIBE was sent, */
  leftAt?: number;
  /** and answered. */
  goneAt?: number;
  /** Something was refused, so nobody knows what is in force. */
  unsure: boolean;
}

/** A message as a publisher sent it; times as in {@link Terms}. */
export interface Sending {
  readonly topic: string;
  readonly clientId: string;
  readonly sentAt: number;
  readonly ackedAt?: number;
}

export type Wanted = Omit<Terms, "hold" | "askedAt" | "grantedAt" | "endedAt" | "goneAt"> & { readonly filter: string };

export class Holds {
  readonly all: Hold[] = [];
  readonly #clientId: string;
  readonly #pending = new Map<number, { readonly asked: readonly Terms[]; readonly left: readonly Hold[] }>();

  constructor(clientId: string) {
    this.#clientId = clientId;
  }

  /** Filters that are held, or will be when the answer comes. */
  get filters(): string[] {
    return this.all.filter(({ leftAt }) => leftAt === undefined).map(({ filter }) => filter);
  }

  subscribe(packetId: number, wanted: readonly Wanted[], now: number): void {
    const asked = wanted.map(({ filter, ...options }) => {
      let hold = this.all.find((other) => other.filter === filter && other.leftAt === undefined);
      if (!hold) this.all.push((hold = { filter, terms: [], unsure: false }));
      const last = hold.terms.at(-1);
      if (last) last.endedAt = now;
      const terms: Terms = { ...options, hold, askedAt: now };
      hold.terms.push(terms);
      return terms;
    });
    this.#pending.set(packetId, { asked, left: [] });
  }

  unsubscribe(packetId: number, filters: readonly string[], now: number): void {
    const left = this.all.filter((hold) => hold.leftAt === undefined && filters.includes(hold.filter));
    for (const hold of left) {
      hold.leftAt = now;
      hold.terms.at(-1)!.endedAt = now;
    }
    this.#pending.set(packetId, { asked: [], left });
  }

  /** SUBACK or UNSUBACK came. */
  answered(packetId: number, codes: readonly number[], now: number): void {
    const { asked, left } = this.#pending.get(packetId)!;
    this.#pending.delete(packetId);
    for (const [i, terms] of asked.entries()) {
      const code = codes[i]!;
      if (code >= 0x80) {
        terms.hold.unsure = true;
        continue;
      }
      if (code !== terms.qos) throw new Error(`${this.#clientId} was granted ${code} for ${terms.hold.filter}`);
      terms.grantedAt = now;
      for (const other of terms.hold.terms) {
        if (other === terms) break;
        other.goneAt ??= now;
      }
    }
    for (const [i, hold] of left.entries()) {
      const code = codes[i] ?? 0;
      if (code === 0x11 && !hold.unsure) throw new Error(`${this.#clientId} did not have ${hold.filter}`);
      if (code >= 0x80) continue;
      hold.goneAt = now;
      for (const terms of hold.terms) terms.goneAt ??= now;
    }
  }

  /** Terms under which the message may have been sent live when it came. */
  may(sending: Sending, cameAt: number): Terms[] {
    const { sentAt, ackedAt = Infinity } = sending;
    return this.#of(sending).filter(
      ({ hold, askedAt, goneAt = Infinity }) =>
        askedAt <= cameAt && hold.terms[0]!.askedAt <= ackedAt && (goneAt >= sentAt || hold.unsure),
    );
  }

  /** Terms that were in force from before the message was sent until it came. */
  must(sending: Sending, cameAt: number): Terms[] {
    return this.#of(sending).filter(
      ({ hold, grantedAt = Infinity, endedAt = Infinity }) =>
        grantedAt < sending.sentAt && endedAt > cameAt && !hold.unsure,
    );
  }

  /** Terms under which the message may have come as a retained one. */
  mayRetained(sending: Sending, cameAt: number): Terms[] {
    return this.#of(sending).filter((terms) => {
      const { hold, askedAt } = terms;
      // What one SUBSCRIBE asked for goes on on the terms of the next one.
      const asked = hold.terms.slice(0, hold.terms.indexOf(terms) + 1).some(asksRetained);
      return askedAt <= cameAt && (hold.unsure || (asked && (hold.goneAt ?? Infinity) >= cameAt));
    });
  }

  /** True when a QoS 1 message has to come: a filter was held for QoS 1 while it was published, and still is held. */
  owed(sending: Sending): boolean {
    const { sentAt, ackedAt = Infinity } = sending;
    return this.all.some((hold) => {
      if (hold.unsure || hold.leftAt !== undefined || !matches(hold.filter, sending.topic)) return false;
      if (!hold.terms.some(({ grantedAt = Infinity }) => grantedAt < sentAt)) return false;
      const later = hold.terms.filter(({ goneAt = Infinity }) => goneAt >= sentAt);
      if (sending.clientId === this.#clientId && later.some(({ noLocal }) => noLocal)) return false;
      // What was acknowledged before the QoS was lowered is not lost by that [MQTT-3.8.4-3].
      return later.every(({ qos, askedAt }) => qos === 1 || askedAt > ackedAt);
    });
  }

  /** Every scan of retained messages that has to reach this topic; `noLocal` if it may leave out the client's own. */
  scans(topic: string): { filter: string; askedAt: number; noLocal: boolean }[] {
    return this.all.flatMap(({ filter, terms, unsure, leftAt }) => {
      if (unsure || leftAt !== undefined || !matches(filter, topic)) return [];
      return terms.filter(asksRetained).map((asking) => {
        const noLocal = terms.slice(terms.indexOf(asking)).some((later) => later.noLocal);
        return { filter, askedAt: asking.askedAt, noLocal };
      });
    });
  }

  #of({ topic, clientId }: Sending): Terms[] {
    return this.all.flatMap((hold) =>
      matches(hold.filter, topic) ? hold.terms.filter(({ noLocal }) => !(noLocal && clientId === this.#clientId)) : [],
    );
  }
}

function asksRetained(terms: Terms): boolean {
  return terms.retainHandling === 0 || (terms.retainHandling === 1 && terms.hold.terms[0] === terms);
}
