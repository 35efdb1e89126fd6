/** One connection of a device, from CONNECT on: what it asked for, how it ended, and what is under way in it. */

import type { Link } from "../../sim/world/link.ts";
import type { Version } from "../../sim/world/client.ts";
import type { Came } from "./arrivals.ts";
import type { Sent } from "./messages.ts";
import { FOR_EVER } from "./plan.ts";
import type { Socket } from "./socket.ts";

/** How a connection's end was brought about. `closed` is the broker's doing, `overtaken` the device's next one. */
export type End = "cut" | "kill" | "disconnect" | "disconnect with will" | "overtaken" | "closed";

export interface AttemptOptions {
  readonly version: Version;
  readonly clean: boolean;
  /** Session Expiry Interval; only MQTT 5 has one. */
  readonly expirySeconds: number | undefined;
  readonly receiveMaximum: number;
  readonly worker: string;
  readonly will: WillOptions | undefined;
}

interface WillOptions {
  readonly topic: string;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  readonly delaySeconds: number;
}

/** A delivery that the device has not answered to the end in this connection. */
export interface Outstanding {
  readonly came: Came;
  state: "published" | "received";
}

/** From the shortest to the longest that it may be. */
export interface Range {
  readonly least: number;
  readonly most: number;
}

export class Attempt {
  /** Unique. */
  readonly name: string;
  readonly number: number;
  readonly options: AttemptOptions;
  readonly connectAt: number;
  readonly connectMs: number;
  socket!: Socket;
  /** The message that its will is. */
  will: Sent | undefined;
  connack: { readonly at: number; readonly ms: number; readonly present: boolean } | undefined;
  end: { readonly how: End; readonly at: number; readonly ms: number } | undefined;
  /** When the connections before it were over, whose deliveries it takes over. */
  aloneAt = Infinity;
  /** Its Worker died before it was over. */
  killed = false;
  /** The link to its session object that it had then. */
  sessionLink: Link | undefined;
  /** From here on nothing comes of it any more. */
  overAt: number | undefined;
  goneMs = Infinity;
  /** Its session object knows of its end, or counts from here on; Infinity as long as nobody can tell. */
  overMs = Infinity;
  /** Session Expiry Interval that DISCONNECT said; it may be that nobody heard. */
  disconnectExpirySeconds: number | undefined;
  readonly windowSize: number;
  readonly outstanding = new Map<number, Outstanding>();
  /** Packet ids that PUBLISH or PUBREL came with. */
  readonly seen = new Set<number>();
  /** By shard: the last delivery that was sent again, as it was sent first, until anything new came. */
  readonly resent = new Map<number, Came | "new">();
  /** Answers that are still to come to what the device sent in this connection, by type and packet id. */
  readonly awaited = new Map<string, number>();

  constructor(
    clientId: string,
    number: number,
    options: AttemptOptions,
    windowMax: number,
    at: number,
    connectMs: number,
  ) {
    this.number = number;
    this.name = `${clientId}.${number}`;
    this.options = options;
    this.connectAt = at;
    this.connectMs = connectMs;
    this.windowSize = Math.min(options.version === 5 ? options.receiveMaximum : 65_535, windowMax);
  }

  /** The session was there when it came. */
  get resumed(): boolean {
    return this.connack?.present ?? false;
  }

  get open(): boolean {
    return this.connack !== undefined && this.end === undefined && this.socket.closed === undefined;
  }

  /** The broker could not unsubscribe it in time, of which MQTT before 5.0 can only be told by closing. */
  get toldNoUnsuback(): boolean {
    return this.options.version < 5 && this.socket.driver.reports.some(({ detail }) => detail.includes("UNSUBSCRIBE"));
  }

  /** It was not over before; Infinity while it lives. */
  get endMs(): number {
    if (!this.end) return Infinity;
    const byBroker = this.end.how === "closed" || this.socket.driver.reports.length > 0;
    return byBroker ? (this.connack?.ms ?? this.connectMs) : this.end.ms;
  }

  /**
   * How long, in ms, its session outlives it.
   *
   * @param byMs what it said at its end may not have been heard everywhere by then
   */
  expiryMs(expirySecondsMax: number, byMs: number): Range {
    const { version, clean, expirySeconds = 0 } = this.options;
    const wanted = version === 5 ? expirySeconds : clean ? 0 : FOR_EVER;
    const cap = (seconds: number): number => Math.min(seconds, expirySecondsMax) * 1000;
    const said = this.disconnectExpirySeconds;
    if (said === undefined) return { least: cap(wanted), most: cap(wanted) };
    if (!this.killed && this.goneMs < byMs) return { least: cap(said), most: cap(said) };
    return { least: cap(Math.min(wanted, said)), most: cap(Math.max(wanted, said)) };
  }

  await(answer: string, packetId: number): void {
    const key = `${answer} ${packetId}`;
    this.awaited.set(key, (this.awaited.get(key) ?? 0) + 1);
  }

  /** Nothing is answered that was not sent. */
  answered(answer: string, packetId: number): void {
    const key = `${answer} ${packetId}`;
    const left = (this.awaited.get(key) ?? 0) - 1;
    if (left < 0) throw new Error(`${this.name} was sent ${answer} ${packetId} without need`);
    this.awaited.set(key, left);
  }
}

/** A connection that is over would have taken over by then, if it had come later. */
const SURVIVED_MS = 5_000;

/** May the broker have heard of the other connection of the device after this one? */
export function mayFollow(other: Attempt, attempt: Attempt): boolean {
  if (other.number >= attempt.number) return other !== attempt;
  if (other.connack && other.connack.at < attempt.connectAt) return false;
  // Had it come later it would have taken over.
  const survived = other.goneMs + SURVIVED_MS < Math.min(attempt.end?.ms ?? Infinity, attempt.goneMs);
  return (other.overAt ?? Infinity) > attempt.connectAt && !(attempt.connack && survived);
}
