/** Messages as their publishers know them. */

import { NEVER, type Qos } from "../history.ts";
import type { Connection } from "./connection.ts";
import type { Moment } from "./verdict.ts";

export interface Message {
  readonly publisher: string;
  readonly topic: string;
  readonly payload: string;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly isWill: boolean;
  readonly expirySeconds: number | undefined;
  /** When the broker may have had it first. */
  readonly sent: Moment;
  /** Its publisher has sent it again. */
  again: boolean;
  /** The connection that it was sent in last. */
  connection: Connection;
  /** When the broker first said that it owns it, and when it last did, as indexes. */
  acknowledged: number;
  acknowledgedMs: number;
  done: number;
  /** The broker said that it would not have it. */
  refused: Moment | undefined;
}

export type Sending = Pick<Message, "topic" | "payload" | "qos" | "retain" | "expirySeconds">;

/** It empties a topic of its retained message. */
export function clears({ retain, payload }: Message): boolean {
  return retain && payload === "";
}

/** It has to come to whoever was subscribed. */
export function isDue({ isWill, qos, acknowledged, expirySeconds, payload }: Message): boolean {
  return !isWill && qos > 0 && acknowledged !== NEVER && expirySeconds === undefined && payload !== "";
}

/** Whose order is kept. */
export function flow({ publisher, topic, qos }: Message): string {
  return `${publisher} ${topic} ${qos}`;
}

export class Messages {
  readonly all: Message[] = [];
  readonly #byPayload = new Map<string, Message>();
  readonly #retained = new Map<string, Message[]>();

  /** @throws Error if another one has its payload */
  send(publisher: string, sending: Sending, isWill: boolean, connection: Connection, sent: Moment): Message {
    const { topic, payload, qos, retain, expirySeconds } = sending;
    const message: Message = {
      publisher,
      topic,
      payload,
      qos,
      retain,
      isWill,
      expirySeconds,
      sent,
      again: false,
      connection,
      acknowledged: NEVER,
      acknowledgedMs: NEVER,
      done: NEVER,
      refused: undefined,
    };
    this.all.push(message);
    if (retain) this.#retained.set(topic, [...this.retained(topic), message]);
    if (payload === "") return message;
    if (this.#byPayload.has(payload)) throw new Error(`the history has two messages "${payload}"`);
    this.#byPayload.set(payload, message);
    return message;
  }

  get(payload: string): Message | undefined {
    return this.#byPayload.get(payload);
  }

  /** What was sent to be retained on the topic. */
  retained(topic: string): readonly Message[] {
    return this.#retained.get(topic) ?? [];
  }

  get retainedTopics(): Iterable<string> {
    return this.#retained.keys();
  }
}
