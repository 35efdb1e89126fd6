/** What client and broker share from a CONNACK without Session Present on. */

import { Arrivals } from "./arrivals.ts";
import type { Connection } from "./connection.ts";
import { Inbox } from "./inbox.ts";
import type { Retained } from "./retained.ts";
import { Subscriptions } from "./subscriptions.ts";
import type { Moment, Verdict } from "./verdict.ts";
import type { Weather } from "./weather.ts";

export class Session {
  readonly client: string;
  /** All of its client's, in order. */
  readonly connections: readonly Connection[];
  readonly subscriptions: Subscriptions;
  readonly arrivals: Arrivals;
  readonly inbox: Inbox;
  /** As its client knows it. */
  isOver = false;
  /** When its client began another one, if it has: until then the broker may take it for one that goes on, a shard a moment longer. */
  replaced: Moment | undefined;

  constructor(
    client: string,
    connections: readonly Connection[],
    retained: Retained,
    weather: Weather,
    verdict: Verdict,
  ) {
    this.client = client;
    this.connections = connections;
    this.subscriptions = new Subscriptions(client, verdict);
    this.arrivals = new Arrivals(client, this.subscriptions, retained, weather, verdict);
    this.inbox = new Inbox(client, this.arrivals, weather, verdict);
  }

  /** Its client is there. */
  get isConnected(): boolean {
    const last = this.connections.at(-1);
    return !this.isOver && last !== undefined && last.connected && last.end === undefined;
  }
}
