/** What client and broker share from a CONNACK without Session Present on. */

import { Arrivals } from "./arrivals.ts";
import { Inbox } from "./inbox.ts";
import type { Retained } from "./retained.ts";
import { Subscriptions } from "./subscriptions.ts";
import type { Verdict } from "./verdict.ts";
import type { Weather } from "./weather.ts";

export class Session {
  readonly client: string;
  readonly subscriptions: Subscriptions;
  readonly arrivals: Arrivals;
  readonly inbox: Inbox;

  constructor(client: string, retained: Retained, weather: Weather, verdict: Verdict) {
    this.client = client;
    this.subscriptions = new Subscriptions(client, verdict);
    this.arrivals = new Arrivals(client, this.subscriptions, retained, weather, verdict);
    this.inbox = new Inbox(client, this.arrivals, weather, verdict);
  }
}
