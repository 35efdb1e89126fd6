/** What the retained message of a topic can be, after publishers that nobody has put in order. */

import { NEVER } from "../history.ts";
import { wasSentOnce } from "./arrivals.ts";
import { clears, type Message, type Messages } from "./message.ts";
import type { Verdict } from "./verdict.ts";
import type { Weather } from "./weather.ts";

interface Candidates {
  readonly messages: readonly Message[];
  /** There may be none. */
  readonly none: boolean;
}

export class Retained {
  readonly #messages: Messages;
  readonly #weather: Weather;
  readonly #verdict: Verdict;

  constructor(messages: Messages, weather: Weather, verdict: Verdict) {
    this.#messages = messages;
    this.#weather = weather;
    this.#verdict = verdict;
  }

  /** What certainly replaced a retained message, and was acknowledged before `before`. */
  replacement(message: Message, before: number): Message | undefined {
    const all = this.#messages.retained(message.topic);
    // One that nobody acknowledged is over when a later one of its connection is: they take the same way.
    const after = all.find(
      ({ connection, sent, acknowledged, isWill }) =>
        !isWill &&
        connection === message.connection &&
        sent.index > message.sent.index &&
        acknowledged !== NEVER &&
        !message.isWill,
    );
    const done = message.done === NEVER ? (after?.acknowledged ?? NEVER) : message.done;
    return all.find(({ sent, acknowledged }) => sent.index > done && acknowledged < before);
  }

  /**
   * The messages of a topic that may be the retained one at a moment.
   *
   * @param at only what was acknowledged before is sure to have happened
   */
  candidates(topic: string, at: number): Candidates {
    const set = this.#messages.retained(topic).filter(({ sent }) => sent.index <= at);
    const sure = set.filter(({ qos, acknowledged }) => qos > 0 && acknowledged < at);
    const left = set.filter((one) => !sure.some((other) => other !== one && other.sent.index > this.settledAt(one)));
    const last = left.filter((one) => !sure.some((other) => this.#isBehind(one, other)));
    const none = !last.some((one) => sure.includes(one)) || last.some(clears);
    return { messages: last.filter((one) => !clears(one)), none };
  }

  /** From here on nothing more of the message can happen; an index. */
  settledAt(message: Message): number {
    const { acknowledged, isWill, qos, connection, topic, sent } = message;
    if (acknowledged !== NEVER) return acknowledged;
    if (isWill) return NEVER;
    const over = connection.over?.index ?? NEVER;
    if (qos > 0) return over;
    // A message of QoS 0 has come to its shard, or never will, when a later one above it is acknowledged.
    const later = this.#messages.all.find(
      (other) =>
        other.qos > 0 && other.connection === connection && other.topic === topic && other.sent.index > sent.index,
    );
    return later && later.acknowledged !== NEVER ? later.acknowledged : over;
  }

  /** At the end a topic has this retained message; an empty payload stands for none. */
  kept(topic: string, payload: string): void {
    const { messages, none } = this.candidates(topic, NEVER);
    if (payload === "" ? none : messages.some((one) => one.payload === payload)) return;
    const says = payload === "" ? "no message" : `"${payload}"`;
    const wanted = [...messages.map((one) => `"${one.payload}"`), ...(none ? ["none"] : [])].join(" or ");
    this.#verdict.find("retained", topic, `${says} is retained, not ${wanted}`, messages.at(-1)?.payload ?? payload);
  }

  /**
   * Two of one publisher and QoS come in its order, and all of one connection as far as they are retained, but one of QoS 1
   * may come once more, behind later ones.
   */
  #isBehind(one: Message, other: Message): boolean {
    if (one.isWill || !wasSentOnce(one, this.#weather)) return false;
    const isOne = other.qos === one.qos || other.connection === one.connection;
    return other.publisher === one.publisher && isOne && other.sent.index > one.sent.index;
  }
}
