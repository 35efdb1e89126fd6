/**
 * The wills of one client: one for every connection that ended without a goodbye, unless the session was resumed before it
 * was due, and none otherwise [MQTT-3.1.2-8, MQTT-3.1.3-9]. In between where nobody can tell.
 */

import type { Will } from "../history.ts";
import type { Connection } from "./connection.ts";
import type { Message } from "./message.ts";
import type { Moment } from "./verdict.ts";

/** Slack for what client and broker see at different times. */
const DOUBT_MS = 1000;
/** As long as a connection may need to settle what its client left; what is forgotten meanwhile is forgiven. */
export const SETTLING_MS = 5000;
/** As long as it may need where a link is dead, which it does not know. */
const UNANSWERED_MS = 15_000;

interface WillStory {
  readonly will: Will;
  readonly message: Message;
  readonly connection: Connection;
  fate: "may" | "must" | "never";
  /** An abnormal end whose delay runs. */
  endedMs: number | undefined;
  /** The broker has closed the socket, which says that it knows of the end. */
  known: boolean;
  /** Connections that have come since, answered or not. */
  followers: number;
  /** It may not come before, in ms: its delay has to pass, or its session to end. Undefined: its connection lives. */
  notBeforeMs: number | undefined;
  /** Whoever was to settle the DISCONNECT has lost its memory. */
  forgotten: boolean;
}

/** What has become of a will. */
export interface WillFate {
  readonly message: Message;
  readonly connection: Connection;
  readonly fate: "may" | "must" | "never" | "lives";
  readonly notBeforeMs: number;
}

export class Wills {
  readonly #stories: WillStory[] = [];

  /** A connection that has a will begins. */
  connect(will: Will, message: Message, connection: Connection): void {
    const story = {
      will,
      message,
      connection,
      endedMs: undefined,
      known: false,
      followers: 0,
      notBeforeMs: undefined,
      forgotten: false,
    };
    this.#stories.push({ ...story, fate: "may" });
  }

  /** A connection comes that may end the session, and with it the wait for wills; or go on with it. */
  comes(now: Moment): void {
    for (const story of this.#stories) {
      if (story.notBeforeMs !== undefined) story.notBeforeMs = Math.min(story.notBeforeMs, now.ms);
      if (story.endedMs !== undefined) story.followers += 1;
    }
  }

  /** A connection is there: it goes on with the session, or begins another one. */
  connected(connection: Connection, now: Moment): void {
    for (const story of this.#stories) {
      if (story.connection === connection || story.endedMs === undefined) continue;
      const aloneMs = now.ms - story.endedMs;
      const delayMs = story.will.delaySeconds * 1000;
      // What became of those that were not answered, nobody knows.
      if (story.followers > 1) story.fate = "may";
      else if (!connection.connack!.present) story.fate = "must";
      // The broker counts from when it hears of the end, and of a dead Worker's connections it may hear late.
      else if (aloneMs > delayMs + (story.known ? SETTLING_MS : UNANSWERED_MS))
        story.fate = story.connection.killed ? "may" : "must";
      else if (aloneMs < delayMs - DOUBT_MS) story.fate = "never";
      story.endedMs = undefined;
    }
  }

  /** @param seen the client saw the socket end, and does not just take its place with another one */
  ended(connection: Connection, seen: boolean): void {
    const story = this.#of(connection);
    if (!story || !connection.connected) return;
    const waitSeconds = Math.min(story.will.delaySeconds, connection.expiryAtEnd);
    const endMs = connection.thrownOut ? connection.connack!.ms : connection.endMs;
    story.notBeforeMs = endMs + waitSeconds * 1000 - DOUBT_MS;
    // Until then the next connection may be faster than the DISCONNECT, and a takeover is an abnormal end.
    if (connection.disconnect?.reason === 0) story.fate = seen ? "never" : "may";
    // Who does not wait for the end of its socket has left with DISCONNECT.
    else if (story.will.delaySeconds > 0) {
      story.endedMs = connection.endMs;
      story.known = seen && connection.disconnect !== undefined;
    } else story.fate = "must";
  }

  /** What a connection knew is lost, a DISCONNECT among it that it had not settled. */
  forget(present: Connection | undefined, now: Moment): void {
    for (const story of this.#stories) {
      const said = story.connection.disconnect?.reason === 0 ? story.connection.disconnect : undefined;
      const settled = said !== undefined && now.ms - said.ms > SETTLING_MS;
      const over = said === undefined && present !== story.connection;
      if (!settled && !over) story.forgotten = true;
    }
  }

  fates(present: Connection | undefined): WillFate[] {
    return this.#stories.map(({ message, connection, fate, notBeforeMs = 0, forgotten }) => {
      if (connection === present && connection.connected) {
        // The broker may have thrown a rude one out, which has not heard of it.
        return { message, connection, fate: connection.rude ? "may" : "lives", notBeforeMs };
      }
      const doubted = fate === "never" && connection.disconnect !== undefined && forgotten;
      return { message, connection, fate: doubted ? "may" : fate, notBeforeMs };
    });
  }

  #of(connection: Connection): WillStory | undefined {
    return this.#stories.find((story) => story.connection === connection);
  }
}
