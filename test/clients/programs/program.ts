/** What a test asks of a client program, whoever wrote it and in whatever language. */
import { PATIENCE_MS, type Version } from "../../broker/support/client.ts";

export type Qos = 0 | 1 | 2;

/** A message as the receiving program hands it out. */
export interface Message {
  readonly topic: string;
  readonly payload: string;
  readonly qos: number;
  readonly retain: boolean;
  /** What is left of its Message Expiry Interval; undefined without one, and before 5.0. */
  readonly expirySeconds?: number | undefined;
}

/** A message as the sending program is told it. */
export interface Outgoing {
  readonly topic: string;
  readonly payload: string;
  readonly qos: Qos;
  readonly retain?: boolean;
  /** Of a program of MQTT 5.0 only. */
  readonly expirySeconds?: number;
}

export interface Subscriber {
  /** The next message, in their order. */
  next(): Promise<Message>;
  /** Leaves with DISCONNECT. */
  end(): Promise<void>;
}

export interface Program {
  readonly name: string;
  readonly version: Version;
  /**
   * Connects, and subscribes with one SUBSCRIBE; all filters have to be granted `qos`. With a client id the session goes
   * on after its connection, without one it begins and ends with it.
   */
  subscribe(filters: string | readonly string[], qos: Qos, clientId?: string): Promise<Subscriber>;
  /**
   * Connects again with the session of `clientId`, which has to be there. Only a program that can do no else subscribes
   * once more, for which it is told what {@link subscribe} was told.
   */
  resume(filters: string | readonly string[], qos: Qos, clientId: string): Promise<Subscriber>;
  /** Connects, publishes, resolves when the exchange of the QoS is complete, and leaves. */
  publish(message: Outgoing): Promise<void>;
  /** Connects with a will of QoS 1, and its connection breaks. */
  vanish(will: { topic: string; payload: string }): Promise<void>;
}

/** Hands out messages in their order, to whoever waits. */
export class Inbox {
  readonly #messages: Message[] = [];
  #wake: (() => void) | undefined;

  put(message: Message): void {
    this.#messages.push(message);
    this.#wake?.();
  }

  async next(): Promise<Message> {
    if (this.#messages.length === 0) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const timer = setTimeout(() => reject(new Error("no message came")), PATIENCE_MS);
      await promise.finally(() => clearTimeout(timer));
    }
    return this.#messages.shift()!;
  }
}

let clients = 0;

/** A client id that nobody has, short enough for MQTT 3.1. */
export function freshClientId(): string {
  return `program-${++clients}`;
}
