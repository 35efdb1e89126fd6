/**
 * What a session was asked to subscribe to and what of it may, and must, have been in force at which moment. An *ask* is
 * what one SUBSCRIBE or UNSUBSCRIBE said of one filter; of one that was refused, or whose answer never came, nobody knows
 * whether it is in force, until a later one of the same filter is answered.
 */

import { matches } from "../chaos-plan.ts";
import type { Attempt } from "./attempt.ts";
import type { Sent } from "./messages.ts";

export interface Terms {
  readonly qos: 0 | 1 | 2;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  readonly retainHandling: 0 | 1 | 2;
  readonly identifier: number;
}

export type Wanted = Terms & { readonly filter: string };

export interface Ask {
  readonly filter: string;
  /** Undefined: UNSUBSCRIBE. */
  readonly terms: Terms | undefined;
  /** It asks for retained messages, or may do. */
  readonly retained: boolean;
  readonly attempt: Attempt;
  readonly askedAt: number;
  state: "asked" | "granted" | "failed" | "lost";
  /** When it was no longer merely asked. */
  closedAt: number;
}

export class Subscriptions {
  readonly #clientId: string;
  readonly #asks = new Map<string, Ask[]>();
  readonly #pending = new Map<number, readonly Ask[]>();

  constructor(clientId: string) {
    this.#clientId = clientId;
  }

  /** Filters that are subscribed to, or may be. */
  get filters(): string[] {
    return [...this.#asks].filter(([, asks]) => standing(asks) !== "no").map(([filter]) => filter);
  }

  isPending(packetId: number): boolean {
    return this.#pending.has(packetId);
  }

  subscribe(packetId: number, wanted: readonly Wanted[], attempt: Attempt, now: number): void {
    const asks = wanted.map(({ filter, ...terms }) => {
      const { retainHandling } = terms;
      const retained = retainHandling === 0 || (retainHandling === 1 && standing(this.#of(filter)) !== "yes");
      return this.#ask({ filter, terms, retained, attempt, askedAt: now, state: "asked", closedAt: Infinity });
    });
    this.#pending.set(packetId, asks);
  }

  unsubscribe(packetId: number, filters: readonly string[], attempt: Attempt, now: number): void {
    const asks = filters.map((filter) =>
      this.#ask({
        filter,
        terms: undefined,
        retained: false,
        attempt,
        askedAt: now,
        state: "asked",
        closedAt: Infinity,
      }),
    );
    this.#pending.set(packetId, asks);
  }

  /** SUBACK or UNSUBACK came. UNSUBACK has no codes before MQTT 5. */
  answered(packetId: number, codes: readonly number[], now: number): void {
    const asks = this.#pending.get(packetId);
    if (!asks) throw new Error(`${this.#clientId} was answered ${packetId}, which it did not ask`);
    this.#pending.delete(packetId);
    for (const [i, ask] of asks.entries()) {
      const code = codes[i] ?? 0;
      const granted = ask.terms ? code === ask.terms.qos : code === 0 || code === 0x11;
      if (code < 0x80 && !granted) throw new Error(`${this.#clientId} was granted ${code} for ${ask.filter}`);
      if (ask.terms === undefined && code === 0x11 && standing(this.#before(ask)) === "yes") {
        throw new Error(`${this.#clientId} was told that it did not have ${ask.filter}`);
      }
      ask.state = granted ? "granted" : "failed";
      ask.closedAt = now;
    }
  }

  /** The connection is over: what was not answered will not be. */
  lost(now: number): void {
    for (const asks of this.#pending.values()) {
      for (const ask of asks) {
        ask.state = "lost";
        ask.closedAt = now;
      }
    }
    this.#pending.clear();
  }

  /** All terms that filters of the topic were ever subscribed to with, by then. */
  asked(topic: string, by: number): Terms[] {
    return this.#matching(topic).flatMap((asks) =>
      asks.flatMap(({ terms, askedAt }) => (terms && askedAt <= by ? [terms] : [])),
    );
  }

  /** Terms under which the message may have been sent live when it came. */
  may(sent: Sent, cameAt: number): Terms[] {
    return this.#matching(sent.topic).flatMap((asks) =>
      asks.flatMap((ask, i) => {
        if (!ask.terms || this.#leavesOut(ask.terms, sent) || ask.askedAt > cameAt) return [];
        const later = asks.slice(i + 1).find(({ state }) => state === "granted");
        if ((later?.closedAt ?? Infinity) < sent.sentAt) return [];
        // A queued message comes on the terms that replaced those under which it was queued.
        return asks[runStart(asks, i)]!.askedAt <= (sent.ackedAt ?? Infinity) ? [ask.terms] : [];
      }),
    );
  }

  /** Terms that were in force from before the message was sent until it came. */
  must(sent: Sent, cameAt: number): Terms[] {
    return this.#matching(sent.topic).flatMap((asks) => {
      const ask = inForce(asks, sent.sentAt);
      if (!ask?.terms || this.#leavesOut(ask.terms, sent)) return [];
      return asks.some(({ askedAt }) => askedAt > ask.askedAt && askedAt <= cameAt) ? [] : [ask.terms];
    });
  }

  /** A message above QoS 0 has to come: some filter was held above QoS 0 from before it was sent, and still is. */
  owed(sent: Sent, sentAt: number): boolean {
    return this.#matching(sent.topic).some((asks) => {
      const ask = inForce(asks, sentAt);
      if (!ask?.terms) return false;
      if (ask.terms.qos === 0) return false;
      const all = asks.filter(({ askedAt }) => askedAt >= ask.askedAt);
      return all.every(({ terms, state, askedAt }) => {
        if (!terms || state !== "granted" || this.#leavesOut(terms, sent)) return false;
        // What was acknowledged before the QoS was lowered is not lost by that [MQTT-3.8.4-3].
        return terms.qos > 0 || askedAt > (sent.ackedAt ?? Infinity);
      });
    });
  }

  /** Terms under which the message may have come as a retained one. */
  mayRetained(sent: Sent, cameAt: number): Terms[] {
    return this.#matching(sent.topic).flatMap((asks) =>
      asks.flatMap((ask, i) => {
        if (!ask.terms || this.#leavesOut(ask.terms, sent) || ask.askedAt > cameAt) return [];
        // What one SUBSCRIBE asked for goes on on the terms of the next one, or of the one before if it is refused.
        const asking = asks.slice(runStart(asks, i)).some((other) => {
          return (
            other.retained && (other.askedAt <= ask.askedAt || (other.askedAt <= cameAt && other.state !== "granted"))
          );
        });
        return asking ? [ask.terms] : [];
      }),
    );
  }

  /** Every SUBSCRIBE of a matching filter that asked for retained messages, and still stands if `standing`. */
  scans(topic: string, onlyStanding = false): Ask[] {
    return this.#matching(topic).flatMap((asks) => {
      if (onlyStanding && (standing(asks) !== "yes" || asks.some(({ state }) => state !== "granted"))) return [];
      return asks.slice(onlyStanding ? runStart(asks, asks.length - 1) : 0).filter(({ retained }) => retained);
    });
  }

  /** Some terms since that ask may leave out the client's own messages. */
  leavesOutSince(ask: Ask): boolean {
    return this.#of(ask.filter).some(({ askedAt, terms }) => askedAt >= ask.askedAt && terms?.noLocal);
  }

  #ask(ask: Ask): Ask {
    const asks = this.#asks.get(ask.filter);
    if (asks) asks.push(ask);
    else this.#asks.set(ask.filter, [ask]);
    return ask;
  }

  #of(filter: string): readonly Ask[] {
    return this.#asks.get(filter) ?? [];
  }

  #before(ask: Ask): readonly Ask[] {
    const asks = this.#of(ask.filter);
    return asks.slice(0, asks.indexOf(ask));
  }

  #matching(topic: string): (readonly Ask[])[] {
    return [...this.#asks.values()].filter((asks) => matches(asks[0]!.filter, topic));
  }

  #leavesOut({ noLocal }: Terms, { clientId }: Sent): boolean {
    return noLocal && clientId === this.#clientId;
  }
}

/** Is there a subscription, as far as its client can know? One that is asked for and not answered counts. */
function standing(asks: readonly Ask[]): "yes" | "no" | "maybe" {
  let stands: "yes" | "no" | "maybe" = "no";
  for (const { terms, state } of asks) {
    const wanted = terms ? "yes" : "no";
    if (state === "granted" || state === "asked") stands = wanted;
    else if (stands !== wanted) stands = "maybe";
  }
  return stands;
}

/** The ask that was surely in force at a moment, with nothing under way; of UNSUBSCRIBE too. */
function inForce(asks: readonly Ask[], at: number): Ask | undefined {
  const asked = asks.filter(({ askedAt }) => askedAt < at);
  const last = asked.at(-1);
  if (last?.state !== "granted" || last.closedAt >= at) return undefined;
  return asked.every((ask) => ask === last || ask.closedAt < last.askedAt) ? last : undefined;
}

/** The first of the asks, up to this one, between which the filter may have been subscribed to all the time. */
function runStart(asks: readonly Ask[], i: number): number {
  let start = i;
  while (start > 0 && !(asks[start - 1]!.terms === undefined && asks[start - 1]!.state === "granted")) start -= 1;
  return start;
}
