/**
 * What happened in a run, as its clients saw it: everything that the checker judges by, in the order in which it
 * happened. Whoever records it sees all clients, so that "before" means the same for all of them.
 *
 * What is sent is noted before it is sent, and what comes when it comes. So a message is with the broker some time after
 * `publish` and before `acknowledged`, and a subscription is in effect from some time between `subscribe` and
 * `subscribed` on.
 */

export type Qos = 0 | 1 | 2;

export interface Will {
  readonly topic: string;
  /** Of this will alone. */
  readonly payload: string;
  readonly qos: Qos;
  readonly retain?: boolean;
  readonly delaySeconds: number;
}

/** A subscription as it is asked for; what MQTT 5 adds is left out where it is not asked for. */
export interface Filter {
  readonly filter: string;
  readonly qos: Qos;
  readonly noLocal?: boolean;
  readonly retainAsPublished?: boolean;
  readonly retainHandling?: 0 | 1 | 2;
  readonly identifier?: number;
}

/** 3.1.1 has no expiry; Clean Session 1 is 0 and Clean Session 0 is this. */
export const NEVER = Number.POSITIVE_INFINITY;

export type ClientEvent = { readonly client: string; readonly connection: number } & (
  | {
      /** CONNECT. A client's earlier connection, if it has one, counts for nothing from here on. */
      readonly type: "connect";
      readonly cleanStart: boolean;
      readonly expirySeconds: number;
      readonly receiveMaximum: number;
      readonly version?: 4 | 5;
      /** It is going to break the protocol, and to be thrown out. */
      readonly rude?: boolean;
      readonly will?: Will;
    }
  | { readonly type: "connected"; readonly sessionPresent: boolean }
  | { readonly type: "refused"; readonly reason: number }
  | { readonly type: "disconnect"; readonly reason: number; readonly expirySeconds?: number }
  /** `detail`: what the broker said, if it said anything. */
  | { readonly type: "closed"; readonly by: "client" | "broker"; readonly detail?: string }
  | { readonly type: "subscribe"; readonly packetId: number; readonly filters: readonly Filter[] }
  | { readonly type: "subscribed"; readonly packetId: number; readonly granted: readonly number[] }
  | { readonly type: "unsubscribe"; readonly packetId: number; readonly filters: readonly string[] }
  | { readonly type: "unsubscribed"; readonly packetId: number; readonly granted: readonly number[] }
  | {
      /** A payload belongs to one message; only an empty one, which clears a retained message, is shared. */
      readonly type: "publish";
      readonly topic: string;
      readonly payload: string;
      readonly qos: Qos;
      readonly retain: boolean;
      /** Message Expiry Interval. */
      readonly expirySeconds?: number;
      /** Sent again with the packet id that it had. */
      readonly dup: boolean;
      readonly packetId: number;
    }
  | {
      readonly type: "acknowledged";
      readonly packetId: number;
      readonly by: "puback" | "pubrec" | "pubcomp";
      readonly reason: number;
    }
  /** PUBREL from the client. */
  | { readonly type: "release"; readonly packetId: number }
  | {
      readonly type: "received";
      readonly topic: string;
      readonly payload: string;
      readonly qos: Qos;
      readonly retain: boolean;
      readonly dup: boolean;
      readonly packetId: number;
      /** What is left of the Message Expiry Interval, if anything was said of it. */
      readonly expirySeconds?: number;
      /** Subscription Identifiers. */
      readonly identifiers?: readonly number[];
    }
  /** PUBREL to the client. */
  | { readonly type: "released"; readonly packetId: number }
  | {
      readonly type: "answered";
      readonly packetId: number;
      readonly by: "puback" | "pubrec" | "pubcomp";
      /** 0x80 and above: the client will not have it. */
      readonly reason?: number;
    }
  /** The broker is through with the connection. Only who looks inside can tell. */
  | { readonly type: "over" }
);

export type HistoryEvent = { readonly at: number } & (
  | ClientEvent
  | {
      readonly type: "fault";
      readonly fault: string;
      readonly object: string;
      /** What connections knew is lost with it. Of one client, or of all where `client` is missing. */
      readonly forgets: boolean;
      readonly client?: string;
    }
  /**
   * The broker reports that so many messages, each counted for every session, were lost to a limit; or none yet: limits
   * are so low that clients may be refused what they ask for, and QoS 0 dropped.
   */
  | { readonly type: "dropped"; readonly object: string; readonly why: string; readonly messages: number }
  /** The retained message that a topic has at the end; an empty payload stands for none. */
  | { readonly type: "kept"; readonly topic: string; readonly payload: string }
);

/** Every kind of event, without its time. */
export type Happening = HistoryEvent extends infer Event ? (Event extends unknown ? Omit<Event, "at"> : never) : never;

export class History {
  readonly events: HistoryEvent[] = [];
  readonly #now: () => number;
  #closed = false;

  constructor(now: () => number) {
    this.#now = now;
  }

  record(happening: Happening): void {
    if (!this.#closed) this.events.push({ at: this.#now(), ...happening } as HistoryEvent);
  }

  /** What comes after is not judged any more. */
  close(): void {
    this.#closed = true;
  }
}
