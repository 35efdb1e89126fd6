/**
 * What a session was asked to subscribe to and what of it may, and must, have been in force at which moment. An *ask* is
 * what one SUBSCRIBE or UNSUBSCRIBE said of one filter; of one that was refused, or whose answer never came, nobody knows
 * whether it is in force, until a later one of the same filter is answered. Moments are indexes of the history.
 *
 * Shared subscriptions are asked for alike; what they are good for is another question (`membership.ts`), and all that is
 * said of a topic here is said of the others.
 */

import { type Filter, NEVER } from "../history.ts";
import { matches, sharedFilter } from "../matches.ts";
import type { Connection } from "./connection.ts";
import type { Message } from "./message.ts";
import type { Verdict } from "./verdict.ts";

export type Terms = Required<Omit<Filter, "filter">>;

export interface Ask {
  readonly filter: string;
  /** Undefined: UNSUBSCRIBE. */
  readonly terms: Terms | undefined;
  /** It asks for retained messages, or may do. */
  readonly retained: boolean;
  readonly connection: Connection;
  readonly askedAt: number;
  state: "asked" | "granted" | "failed" | "lost";
  /** When it was no longer merely asked. */
  closedAt: number;
}

export class Subscriptions {
  readonly #clientId: string;
  readonly #verdict: Verdict;
  readonly #asks = new Map<string, [Ask, ...Ask[]]>();
  readonly #pending = new Map<number, readonly Ask[]>();
  readonly #matching = new Map<string, readonly (readonly Ask[])[]>();

  constructor(clientId: string, verdict: Verdict) {
    this.#clientId = clientId;
    this.#verdict = verdict;
  }

  subscribe(packetId: number, filters: readonly Filter[], connection: Connection): void {
    const asks = filters.map(({ filter, qos, ...options }) => {
      const { noLocal = false, retainAsPublished = false, retainHandling = 0, identifier = 0 } = options;
      const terms: Terms = { qos, noLocal, retainAsPublished, retainHandling, identifier };
      const anew = retainHandling === 0 || (retainHandling === 1 && standing(this.#of(filter)) !== "yes");
      // Nothing that is retained is sent to shared subscriptions.
      const retained = anew && sharedFilter(filter) === undefined;
      return this.#ask(filter, terms, retained, connection);
    });
    this.#pending.set(packetId, asks);
  }

  unsubscribe(packetId: number, filters: readonly string[], connection: Connection): void {
    this.#pending.set(
      packetId,
      filters.map((filter) => this.#ask(filter, undefined, false, connection)),
    );
  }

  /** SUBACK or UNSUBACK came. UNSUBACK has no codes before MQTT 5. */
  answered(packetId: number, codes: readonly number[]): void {
    const asks = this.#pending.get(packetId);
    if (!asks) {
      this.#verdict.find("answer", this.#clientId, `SUBACK or UNSUBACK ${packetId} answers nothing`);
      return;
    }
    this.#pending.delete(packetId);
    for (const [i, ask] of asks.entries()) {
      const code = codes[i] ?? 0;
      const granted = ask.terms ? code === ask.terms.qos : code === 0 || code === 0x11;
      if (code < 0x80 && !granted) {
        this.#verdict.find("answer", this.#clientId, `was granted ${code} for ${ask.filter}`);
      }
      if (ask.terms === undefined && code === 0x11 && standing(this.#before(ask)) === "yes") {
        this.#verdict.find("answer", this.#clientId, `was told that it did not have ${ask.filter}`);
      }
      ask.state = granted ? "granted" : "failed";
      ask.closedAt = this.#verdict.now.index;
    }
  }

  /** The connection is over: what was not answered will not be. */
  lost(): void {
    for (const asks of this.#pending.values()) {
      for (const ask of asks) {
        ask.state = "lost";
        ask.closedAt = this.#verdict.now.index;
      }
    }
    this.#pending.clear();
  }

  /** Shared subscriptions that match the topic, and whatever was asked of each. */
  shared(topic: string): [filter: string, asks: readonly Ask[]][] {
    return [...this.#asks].filter(([filter]) => sharedFilter(filter) !== undefined && matches(filter, topic));
  }

  /** All shared subscriptions that were ever asked for. */
  get groups(): string[] {
    return [...this.#asks.keys()].filter((filter) => sharedFilter(filter) !== undefined);
  }

  /** Whatever was asked of a filter, in order. */
  asks(filter: string): readonly Ask[] {
    return this.#of(filter);
  }

  /** All terms that filters of the topic were ever subscribed to with. */
  asked(topic: string): Terms[] {
    return this.#forTopic(topic).flatMap((asks) => asks.flatMap(({ terms }) => terms ?? []));
  }

  /** Terms under which the message may have been sent live if it comes now. */
  may(message: Message): Terms[] {
    return this.#forTopic(message.topic).flatMap((asks) =>
      asks.flatMap((ask, i) => {
        if (!ask.terms || this.#leavesOut(ask.terms, message)) return [];
        const later = asks.slice(i + 1).find(({ state }) => state === "granted");
        if ((later?.closedAt ?? Infinity) < message.sent.index) return [];
        // A queued message comes on the terms that replaced those under which it was queued.
        return asks[runStart(asks, i)]!.askedAt <= message.done ? [ask.terms] : [];
      }),
    );
  }

  /** Terms that were in force from before the message was sent until now. */
  must(message: Message): Terms[] {
    return this.#forTopic(message.topic).flatMap((asks) => {
      const ask = inForce(asks, message.sent.index);
      if (!ask?.terms || this.#leavesOut(ask.terms, message)) return [];
      return asks.some(({ askedAt }) => askedAt > ask.askedAt) ? [] : [ask.terms];
    });
  }

  /**
   * A message above QoS 0 has to come: some filter was held above QoS 0 from before `sent`, and still is.
   *
   * @param sent when it was sent; of a will, when it may have been published first
   */
  owed(message: Message, sent = message.sent.index): boolean {
    return this.#forTopic(message.topic).some((asks) => {
      const ask = inForce(asks, sent);
      if (!ask?.terms || ask.terms.qos === 0) return false;
      return asks.every(({ terms, state, askedAt }) => {
        if (askedAt < ask.askedAt) return true;
        if (!terms || state !== "granted" || this.#leavesOut(terms, message)) return false;
        // What was acknowledged before the QoS was lowered is not lost by that [MQTT-3.8.4-3].
        return terms.qos > 0 || askedAt > message.acknowledged;
      });
    });
  }

  /** Terms under which the message may have come as a retained one. */
  mayRetained(message: Message): Terms[] {
    return this.#forTopic(message.topic).flatMap((asks) =>
      asks.flatMap((ask, i) => {
        if (!ask.terms || this.#leavesOut(ask.terms, message)) return [];
        // What one SUBSCRIBE asked for goes on on the terms of the next one, or of the one before if it is refused.
        const asking = asks.slice(runStart(asks, i)).some((other) => {
          // What was sent after SUBACK comes live.
          if (!other.retained || (other.state === "granted" && message.sent.index > other.closedAt)) return false;
          return other.askedAt <= ask.askedAt || other.state !== "granted";
        });
        return asking ? [ask.terms] : [];
      }),
    );
  }

  /** Every SUBSCRIBE of a matching filter that asked for retained messages, and still stands if `onlyStanding`. */
  scans(topic: string, onlyStanding = false): Ask[] {
    return this.#forTopic(topic).flatMap((asks) => {
      if (onlyStanding && (standing(asks) !== "yes" || asks.some(({ state }) => state !== "granted"))) return [];
      return asks.slice(onlyStanding ? runStart(asks, asks.length - 1) : 0).filter(({ retained }) => retained);
    });
  }

  /** Some terms since that ask may leave out the client's own messages. */
  leavesOutSince(ask: Ask): boolean {
    return this.#of(ask.filter).some(({ askedAt, terms }) => askedAt >= ask.askedAt && terms?.noLocal);
  }

  #ask(filter: string, terms: Terms | undefined, retained: boolean, connection: Connection): Ask {
    const askedAt = this.#verdict.now.index;
    const ask: Ask = { filter, terms, retained, connection, askedAt, state: "asked", closedAt: NEVER };
    const asks = this.#asks.get(filter);
    if (asks) asks.push(ask);
    else {
      this.#asks.set(filter, [ask]);
      this.#matching.clear();
    }
    return ask;
  }

  #of(filter: string): readonly Ask[] {
    return this.#asks.get(filter) ?? [];
  }

  #before(ask: Ask): readonly Ask[] {
    const asks = this.#of(ask.filter);
    return asks.slice(0, asks.indexOf(ask));
  }

  #forTopic(topic: string): readonly (readonly Ask[])[] {
    let matching = this.#matching.get(topic);
    if (!matching) {
      matching = [...this.#asks.values()].filter(([{ filter }]) => {
        return sharedFilter(filter) === undefined && matches(filter, topic);
      });
      this.#matching.set(topic, matching);
    }
    return matching;
  }

  #leavesOut({ noLocal }: Terms, { publisher }: Message): boolean {
    return noLocal && publisher === this.#clientId;
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
export function inForce(asks: readonly Ask[], at: number): Ask | undefined {
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
