/** One connection of a client, from CONNECT on, as far as it can be known. */

import type { ClientEvent } from "../history.ts";
import type { Came } from "./arrivals.ts";
import type { Moment } from "./verdict.ts";

/** A delivery that the client has not answered to the end in this connection. */
export interface Outstanding {
  readonly came: Came;
  state: "published" | "received";
}

export class Connection {
  readonly client: string;
  readonly number: number;
  readonly cleanStart: boolean;
  readonly expirySeconds: number;
  readonly receiveMaximum: number;
  readonly version: 4 | 5;
  readonly rude: boolean;
  readonly connect: Moment;
  connack: (Moment & { readonly present: boolean }) | undefined;
  disconnect: (Moment & { readonly reason: number }) | undefined;
  /** Its client has heard that it ended, or has given it up. */
  end: Moment | undefined;
  /** The broker is through with it; undefined where nobody can tell. */
  over: Moment | undefined;
  /** The broker ended it: for the broker that was some time before its client heard of it. */
  thrownOut = false;
  /** Its Worker died before that. */
  killed = false;
  /** Session Expiry Interval that holds when it ends. */
  expiryAtEnd: number;
  readonly outstanding = new Map<number, Outstanding>();
  /** Packet ids that PUBLISH or PUBREL came with. */
  readonly seen = new Set<number>();
  /** By part of the topic space that is on one shard: the last delivery that was sent again, until anything new came. */
  readonly resent = new Map<string, Came | "new">();

  constructor(event: ClientEvent & { type: "connect" }, connect: Moment) {
    this.client = event.client;
    this.number = event.connection;
    this.cleanStart = event.cleanStart;
    this.expirySeconds = event.expirySeconds;
    this.expiryAtEnd = event.expirySeconds;
    this.receiveMaximum = event.receiveMaximum;
    this.version = event.version ?? 5;
    this.rude = event.rude ?? false;
    this.connect = connect;
  }

  get connected(): boolean {
    return this.connack !== undefined;
  }

  get name(): string {
    return `${this.client}/${this.number}`;
  }

  /** When it ended at the latest, for its client. */
  get endMs(): number {
    return this.disconnect?.ms ?? this.end?.ms ?? Infinity;
  }
}
