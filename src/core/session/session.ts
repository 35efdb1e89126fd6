/**
 * The session object's rules: which connection is a client id's one connection, what is kept of a session that outlives
 * its connections, and what becomes of wills.
 *
 * - A session is (client id, generation). CONNECT with clean start, and expiry, raise the generation first and have the
 *   shards forget the old one afterwards, for as long as that takes: CONNACK waits for no shard.
 * - Every accepted CONNECT raises the epoch. Numbers are `max(known + 1, now)`, so they rise even when nothing is stored.
 * - A new CONNECT takes the session over: the old connection is told 0x8E and its link closed [MQTT-3.1.4-3].
 * - A connection whose link broke comes back with its own epoch, and is welcome while no later one is known: of any
 *   number of racing connections exactly the latest survives.
 * - A link that closes without END may come back within {@link GRACE_MS}; then its client counts as gone.
 * - A session with an expiry interval is stored before its first CONNACK, and its subscriptions before their shards are
 *   told. It expires that long after its connection has gone [MQTT-4.1.0-2].
 * - A will is published on every end but END(publishWill = false) [MQTT-3.1.2-8], `wills.ts`.
 * - A session that ends with its connection and has no will stores nothing. When nothing is owed the object wipes itself.
 */

import { ByteReader, ByteWriter, LinkFormatError } from "../../link/bytes.ts";
import {
  type ConnectRecord,
  type Departed,
  type End,
  type Fence,
  FOR_EVER,
  type KeepRecord,
  type LinkVersions,
  type SessionBound,
} from "../../link/records.ts";
import * as records from "../../link/records.ts";
import { SILENCE_MAX_MS, STILL_HERE_MS } from "../../link/ping.ts";
import type { Message } from "../../mqtt/message.ts";
import { Reason } from "../../mqtt/reason.ts";
import type { KeptSession, SessionStore, Wipe } from "./store.ts";
import { Wills } from "./wills.ts";
import { Wipes } from "./wipes.ts";

/** How long a lost link may take to come back; above what a connection tries for (`GIVE_UP_MS`). */
export const GRACE_MS = 40_000;
/** As many as may race within the time in which a connection asks again. */
const SUPERSEDED_KEPT = 32;

export type SessionEffect =
  | { readonly type: "send"; readonly link: number; readonly frame: Uint8Array }
  | { readonly type: "close"; readonly link: number }
  /** Keep with the link what {@link Session} needs to know it again after a sleep. */
  | { readonly type: "attach"; readonly link: number; readonly attachment: SessionAttachment }
  /** Hand the will to its topic's shard and report `willPublished` or `willFailed`. */
  | { readonly type: "publishWill"; readonly of: Departed; readonly message: Message }
  /** Have a shard forget a generation and those before it, and report `shardWiped` or `wipeFailed`. */
  | { readonly type: "wipeShard"; readonly wipe: Wipe }
  /** Nothing is owed: delete everything that is stored, the alarm included. */
  | { readonly type: "wipe" };

/** A connection that was accepted. */
interface Known extends Fence {
  /** Its own name, by which it is known again when it never got its welcome. */
  readonly connection: string;
  /** It found the session. */
  readonly present: boolean;
}

/** What stays with a link's socket while the object sleeps. */
export interface SessionAttachment extends Known {
  /** Raised by every attempt of one connection. */
  readonly link: number;
  /** When the link was welcomed, in milliseconds since 1970. */
  readonly at: number;
}

export interface SessionLink {
  /** The shell's name for the socket. */
  readonly id: number;
  readonly attachment: SessionAttachment;
}

export interface SessionConfig {
  readonly linkVersions: LinkVersions;
}

export class Session {
  readonly #linkVersions: LinkVersions;
  readonly #store: SessionStore;
  /** When a link's automatic ping was last answered, in ms since 1970; asked for only by the alarm. */
  readonly #lastPingAt: (link: number) => number | undefined;
  readonly #wills: Wills;
  readonly #wipes: Wipes;
  /** The session, if it outlives its connections. */
  #kept: KeptSession | undefined;
  /** The latest connection that is known of. */
  #latest: Known = { generation: 0, epoch: 0, connection: "", present: false };
  /** Connections that were taken over lately, by name: one may ask again that never got its welcome. */
  readonly #superseded: string[] = [];
  #current: SessionLink | undefined;
  /** How the current connection's client has said goodbye, while its END is still to come. */
  #leaving: End | undefined;
  #stillHereAt: number;
  /** Something is stored, so there will be something to wipe. */
  #stored: boolean;
  #effects: SessionEffect[] = [];

  /** @param links the sockets that the object woke with */
  constructor(
    { linkVersions }: SessionConfig,
    store: SessionStore,
    links: readonly SessionLink[],
    lastPingAt: (link: number) => number | undefined,
    now: number,
  ) {
    this.#linkVersions = linkVersions;
    this.#store = store;
    this.#lastPingAt = lastPingAt;
    this.#stillHereAt = now + STILL_HERE_MS;
    this.#wills = new Wills(store);
    this.#wipes = new Wipes(store);
    this.#kept = store.session();
    this.#stored = this.#owes;
    const wills = [...this.#wills.all].map((will) => ({ ...will, present: false }));
    for (const known of [...wills, ...(this.#kept ? [this.#kept] : []), ...links.map((link) => link.attachment)]) {
      const { generation, epoch, connection, present } = known;
      if (epoch >= this.#latest.epoch) this.#latest = { generation, epoch, connection, present };
    }
    for (const { connection } of wills) if (connection !== this.#latest.connection) this.#superseded.push(connection);
    const generation = Math.max(this.#latest.generation, this.#wipes.generation);
    this.#latest = { ...this.#latest, generation };
    this.#current = links.find(({ attachment }) => attachment.epoch === this.#latest.epoch);
    // The object was restarted, and with it went its links: their connections come back, or they are gone too.
    if (!this.#current) this.#expect(now);
  }

  /** When {@link alarm} has to be called; a later, an earlier or a second call does no harm. */
  get alarmAt(): number | undefined {
    const times = [this.#wills.alarmAt, this.#wipes.alarmAt, this.#expiresAt];
    if (this.#current && (this.#kept || this.#wills.get(this.#latest.epoch))) times.push(this.#stillHereAt);
    const known = times.filter((time) => time !== undefined && time !== Infinity) as number[];
    return known.length > 0 ? Math.min(...known) : undefined;
  }

  /** What the constructor found to do. */
  start(now: number): readonly SessionEffect[] {
    return this.#settle(now);
  }

  frame(link: number, frame: Uint8Array, now: number): readonly SessionEffect[] {
    try {
      const reader = new ByteReader(frame);
      while (!reader.done) this.#record(link, records.readRecord(reader, now) as SessionBound, now);
    } catch (error) {
      if (!(error instanceof LinkFormatError)) throw error;
      this.#effects.push({ type: "close", link });
      this.#lose(link, now);
    }
    return this.#settle(now);
  }

  /** @param link undefined when it closed while the object slept; what it left was found then */
  closed(link: number | undefined, now: number): readonly SessionEffect[] {
    if (link !== undefined) this.#lose(link, now);
    return this.#settle(now);
  }

  alarm(now: number): readonly SessionEffect[] {
    this.#lookForConnection(now);
    return this.#settle(now);
  }

  /** The shard has the will, or had it already. */
  willPublished(epoch: number, now: number): readonly SessionEffect[] {
    this.#wills.published(epoch);
    return this.#settle(now);
  }

  willFailed(epoch: number, now: number): readonly SessionEffect[] {
    this.#wills.failed(epoch, now);
    return this.#settle(now);
  }

  shardWiped(wipe: Wipe, now: number): readonly SessionEffect[] {
    this.#wipes.done(wipe);
    return this.#settle(now);
  }

  wipeFailed(wipe: Wipe, now: number): readonly SessionEffect[] {
    this.#wipes.failed(wipe, now);
    return this.#settle(now);
  }

  #record(link: number, record: SessionBound, now: number): void {
    switch (record.kind) {
      case records.Kind.Connect:
        if (records.commonVersion(this.#linkVersions, record) === undefined) {
          this.#refuse(link, Reason.ServerShuttingDown);
        } else if (record.reattach) {
          this.#reattach(link, record, record.reattach, now);
        } else if (record.connection === this.#latest.connection) {
          this.#reattach(link, record, this.#latest, now);
        } else {
          this.#connect(link, record, now);
        }
        return;
      case records.Kind.Keep:
        if (this.#current?.id === link) this.#keep(link, record);
        return;
      case records.Kind.Leave:
        if (this.#current?.id === link) this.#leaving = record;
        return;
      case records.Kind.End:
        if (this.#current?.id === link) this.#end(record, now);
        this.#send(link, records.writeEnded);
        return;
      default:
        throw new LinkFormatError("not a record for a session object");
    }
  }

  // Connections.

  #connect(link: number, connect: ConnectRecord, now: number): void {
    if (this.#superseded.includes(connect.connection)) {
      this.#refuse(link, Reason.SessionTakenOver);
      return;
    }
    if (this.#leaving) this.#end(this.#leaving, now);
    this.#takeOver();
    this.#superseded.push(this.#latest.connection);
    if (this.#superseded.length > SUPERSEDED_KEPT) this.#superseded.shift();
    this.#store.transaction(() => {
      const resumed = connect.cleanStart ? undefined : this.#resumable(now);
      if (resumed) this.#wills.resumed(now);
      else this.#endSession(now); // [MQTT-3.1.2-4]
      this.#latest = {
        generation: resumed?.generation ?? Math.max(this.#latest.generation + 1, now),
        epoch: Math.max(this.#latest.epoch + 1, now),
        connection: connect.connection,
        present: resumed !== undefined,
      };
      const { expirySeconds, will, willDelaySeconds } = connect;
      if (resumed || expirySeconds > 0) {
        this.#putSession({ ...this.#latest, expirySeconds, goneAt: undefined, shards: resumed?.shards ?? [] });
      }
      if (will) {
        this.#stored = true;
        this.#wills.put({
          ...this.#latest,
          delaySeconds: willDelaySeconds,
          held: false,
          message: will,
          due: undefined,
        });
      }
    });
    this.#welcome(link, connect, true, now);
  }

  /** The session, if a connection may go on with it: it ends with a connection that did not ask for more. */
  #resumable(now: number): KeptSession | undefined {
    if (this.#expiresAt !== undefined && this.#expiresAt <= now) return undefined;
    return this.#kept && this.#kept.expirySeconds > 0 ? this.#kept : undefined;
  }

  #reattach(link: number, connect: ConnectRecord, fence: Fence, now: number): void {
    const ended = connect.expirySeconds > 0 && this.#kept?.generation !== fence.generation;
    if (fence.epoch < this.#latest.epoch || ended || this.#isGone(fence, now)) {
      this.#refuse(link, Reason.SessionTakenOver);
      return;
    }
    if (this.#current && this.#current.id !== link) {
      const { epoch, link: number } = this.#current.attachment;
      if (epoch === fence.epoch && number > connect.link) {
        // An older socket of the same connection arrived late.
        this.#effects.push({ type: "close", link });
        return;
      }
      if (epoch === fence.epoch) this.#effects.push({ type: "close", link: this.#current.id });
      else this.#takeOver();
    }
    const present = this.#latest.epoch === fence.epoch && this.#latest.present;
    this.#latest = { generation: fence.generation, epoch: fence.epoch, connection: connect.connection, present };
    if (this.#kept?.goneAt !== undefined) this.#putSession({ ...this.#kept, goneAt: undefined });
    this.#wills.setDue(fence.epoch, undefined, now);
    this.#welcome(link, connect, connect.reattach === undefined, now);
  }

  /** True when a connection counts as over, so that it comes back too late. */
  #isGone({ generation, epoch }: Fence, now: number): boolean {
    const due = this.#wills.get(epoch)?.due;
    if (due !== undefined && due <= now) return true;
    const kept = this.#kept;
    return kept?.generation === generation && kept.goneAt !== undefined && kept.goneAt <= now;
  }

  /** The connection that is here makes room for another one. */
  #takeOver(): void {
    if (this.#current) this.#refuse(this.#current.id, Reason.SessionTakenOver);
    this.#current = undefined;
    this.#leaving = undefined;
  }

  /** @param whole the connection has not been told what is kept of the session */
  #welcome(link: number, connect: ConnectRecord, whole: boolean, now: number): void {
    this.#current = { id: link, attachment: { ...this.#latest, link: connect.link, at: now } };
    this.#stillHereAt = now + STILL_HERE_MS;
    this.#effects.push({ type: "attach", link, attachment: this.#current.attachment });
    const { generation, epoch, present } = this.#latest;
    const kept = this.#kept;
    this.#send(link, (to) =>
      records.writeWelcome(to, {
        version: records.commonVersion(this.#linkVersions, connect)!,
        generation,
        epoch,
        sessionPresent: present,
        persistent: kept !== undefined,
        shards: whole && kept ? kept.shards : [],
        subscriptions: whole && kept ? this.#store.subscriptions() : [],
      }),
    );
  }

  /** The current connection is over. */
  #end(end: End, now: number): void {
    this.#current = undefined;
    this.#leaving = undefined;
    if (end.planned) this.#move(now);
    else this.#leave(end, now);
  }

  /** A client is gone: its session goes on, or ends with it. */
  #leave({ publishWill, expirySeconds, goneAt }: End, now: number): void {
    const { epoch } = this.#latest;
    this.#store.transaction(() => {
      if (!publishWill) this.#wills.drop(epoch, now);
      if (!this.#kept || expirySeconds === 0) this.#endSession(now);
      // Its END may come late, after a link that was dead.
      else this.#gone({ ...this.#kept, expirySeconds }, Math.min(goneAt, now), now);
    });
  }

  /** The client was made to connect again: its will is only due if it does not do so in time. */
  #move(now: number): void {
    this.#store.transaction(() => {
      this.#wills.hold(this.#latest.epoch);
      this.#expect(now);
    });
  }

  /** A link went without END: its connection may come back, unless its client's goodbye leaves nothing to wait for. */
  #lose(link: number, now: number): void {
    if (this.#current?.id !== link) return;
    const leaving = this.#leaving;
    if (leaving && !leaving.publishWill) {
      this.#end(leaving, now);
      return;
    }
    this.#current = undefined;
    this.#leaving = undefined;
    // The connection may still be handing over what came before its will.
    if (leaving && this.#kept) this.#putSession({ ...this.#kept, expirySeconds: leaving.expirySeconds });
    this.#expect(now);
  }

  /** The latest connection has no link: it counts as gone unless it comes back in time. */
  #expect(now: number): void {
    if (this.#kept && this.#kept.goneAt === undefined) this.#gone(this.#kept, now + GRACE_MS, now);
    const will = this.#wills.get(this.#latest.epoch);
    if (will?.due === undefined) this.#wills.setDue(this.#latest.epoch, now + GRACE_MS, now);
  }

  /** The connection of a session that goes on is over at `at`; the delay of its will begins then. */
  #gone(kept: KeptSession, at: number, now: number): void {
    this.#putSession({ ...kept, goneAt: at });
    const will = this.#wills.get(kept.epoch);
    if (!will) return;
    const delaySeconds = Math.min(will.delaySeconds, kept.expirySeconds); // [MQTT §3.1.3.2.2]
    this.#wills.setDue(kept.epoch, at + delaySeconds * 1000, now);
  }

  /** Is the other end of the link still there, that may not have been heard of for hours? */
  #lookForConnection(now: number): void {
    if (!this.#current) return;
    this.#stillHereAt = now + STILL_HERE_MS;
    const { id, attachment } = this.#current;
    const heardAt = Math.max(attachment.at, this.#lastPingAt(id) ?? 0);
    if (now - heardAt <= SILENCE_MAX_MS) return;
    this.#effects.push({ type: "close", link: id });
    this.#lose(id, now);
  }

  // The session.

  /** When the session expires; undefined while it is connected, and when it never does. */
  get #expiresAt(): number | undefined {
    const { goneAt, expirySeconds } = this.#kept ?? {};
    if (goneAt === undefined || expirySeconds === FOR_EVER) return undefined;
    return goneAt + expirySeconds! * 1000;
  }

  /** Stores a change of subscriptions before the shards are told of it. */
  #keep(link: number, { request, put, remove, shards }: KeepRecord): void {
    const kept = this.#kept;
    if (!kept) {
      this.#refuse(link, Reason.SessionTakenOver);
      return;
    }
    this.#store.transaction(() => {
      const more = shards.filter((shard) => !kept.shards.includes(shard));
      // The set of shards only grows: what they hold of the session may outlast its subscriptions.
      if (more.length > 0) this.#putSession({ ...kept, shards: [...kept.shards, ...more] });
      for (const subscription of put) this.#store.putSubscription(subscription);
      for (const filter of remove) this.#store.deleteSubscription(filter);
    });
    this.#send(link, (to) => records.writeKept(to, request));
  }

  /** The session is over, whoever still holds it; its wills are due, and its shards have to forget it. */
  #endSession(now: number): void {
    this.#wills.ended(now);
    if (!this.#kept) return;
    const { generation, shards } = this.#kept;
    for (const shard of shards) this.#wipes.add({ shard, generation });
    this.#store.deleteSession();
    this.#kept = undefined;
  }

  #putSession(session: KeptSession): void {
    this.#store.putSession(session);
    this.#kept = session;
    this.#stored = true;
  }

  get #owes(): boolean {
    return this.#kept !== undefined || !this.#wills.empty || !this.#wipes.empty;
  }

  #refuse(link: number, reason: Reason): void {
    this.#send(link, (to) => records.writeRefused(to, reason));
    this.#effects.push({ type: "close", link });
  }

  #send(link: number, write: (to: ByteWriter) => void): void {
    const to = new ByteWriter(32);
    write(to);
    this.#effects.push({ type: "send", link, frame: to.take() });
  }

  #settle(now: number): readonly SessionEffect[] {
    if (this.#expiresAt !== undefined && this.#expiresAt <= now) {
      this.#store.transaction(() => this.#endSession(now));
    }
    this.#wills.publish(now, (of, message) => this.#effects.push({ type: "publishWill", of, message }));
    this.#wipes.run(now, (wipe) => this.#effects.push({ type: "wipeShard", wipe }));
    if (this.#stored && !this.#owes) {
      this.#stored = false;
      this.#store.wiped();
      this.#effects.push({ type: "wipe" });
    }
    return this.#effects.splice(0);
  }
}
