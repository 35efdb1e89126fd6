/**
 * The session object's rules: which connection is a client id's one connection, and what becomes of its will.
 *
 * - Every accepted CONNECT raises the epoch. Numbers are `max(known + 1, now)`, so they rise even when nothing is stored.
 * - A new CONNECT takes the session over: the old connection is told 0x8E and its link closed [MQTT-3.1.4-3].
 * - A connection whose link broke comes back with its own epoch, and is welcome while no later one is known: of any
 *   number of racing connections exactly the latest survives.
 * - A link that closes without END may come back within {@link GRACE_MS}; then its client counts as gone.
 * - A will is published on every end but END(publishWill = false) [MQTT-3.1.2-8], through its topic's shard, which
 *   stores that it did: an alarm that fires twice publishes once.
 * - What is stored are wills. When none is left the object wipes itself; a session without a will writes nothing.
 */

import { ByteReader, ByteWriter, LinkFormatError } from "../../link/bytes.ts";
import type { ConnectRecord, Fence, SessionBound } from "../../link/records.ts";
import * as records from "../../link/records.ts";
import type { Message } from "../../mqtt/message.ts";
import { Reason } from "../../mqtt/reason.ts";
import type { SessionStore, Will } from "./store.ts";

/** How long a lost link may take to come back; above what a connection tries for (`GIVE_UP_MS`). */
export const GRACE_MS = 40_000;
/** How often a session with a will makes sure that its connection did not vanish without a close. */
export const STILL_HERE_MS = 12 * 3600 * 1000;
/** A link that was silent for this long, at a ping every four minutes, has nobody at its other end. */
export const SILENCE_MAX_MS = 15 * 60 * 1000;
/** As many as may race within the time in which a connection asks again. */
const SUPERSEDED_KEPT = 32;
/** When a will that could not be handed to its shard is tried again. */
const WILL_RETRY_MS = 10_000;

export type SessionEffect =
  | { readonly type: "send"; readonly link: number; readonly frame: Uint8Array }
  | { readonly type: "close"; readonly link: number }
  /** Keep with the link what {@link Session} needs to know it again after a sleep. */
  | { readonly type: "attach"; readonly link: number; readonly attachment: SessionAttachment }
  /** Hand the will to its topic's shard and report `willPublished` or `willFailed`. */
  | { readonly type: "publishWill"; readonly fence: Fence; readonly message: Message }
  /** Nothing is owed: delete everything that is stored, the alarm included. */
  | { readonly type: "wipe" };

/** A connection that was accepted. */
interface Known extends Fence {
  /** Its own name, by which it is known again when it never got its welcome. */
  readonly connection: string;
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

export class Session {
  readonly #store: SessionStore;
  /** When a link's automatic ping was last answered, in ms since 1970; asked for only by the alarm. */
  readonly #lastPingAt: (link: number) => number | undefined;
  /** By epoch, oldest first. */
  readonly #wills: Map<number, Will>;
  /** The latest connection that is known of. */
  #latest: Known = { generation: 0, epoch: 0, connection: "" };
  /** Connections that were taken over lately, by name: one may ask again that never got its welcome. */
  readonly #superseded: string[] = [];
  #current: SessionLink | undefined;
  #stillHereAt: number;
  /** Epochs whose will is on its way to its shard, and since when. */
  readonly #publishing = new Map<number, number>();
  #retryWillsAt: number | undefined;
  /** Something is stored, so there will be something to wipe. */
  #stored: boolean;
  #effects: SessionEffect[] = [];

  /** @param links the sockets that the object woke with */
  constructor(
    store: SessionStore,
    links: readonly SessionLink[],
    lastPingAt: (link: number) => number | undefined,
    now: number,
  ) {
    this.#store = store;
    this.#lastPingAt = lastPingAt;
    this.#stillHereAt = now + STILL_HERE_MS;
    this.#wills = new Map(store.wills().map((will) => [will.epoch, will]));
    this.#stored = this.#wills.size > 0;
    for (const fence of [...this.#wills.values(), ...links.map(({ attachment }) => attachment)]) {
      if (fence.epoch > this.#latest.epoch) this.#latest = fence;
    }
    this.#current = links.find(({ attachment }) => attachment.epoch === this.#latest.epoch);
    // The object was restarted, and with it went its links: their connections come back, or they are gone too.
    for (const will of this.#wills.values())
      if (will.epoch !== this.#current?.attachment.epoch) this.#expect(will, now);
  }

  /** When {@link alarm} has to be called; a later, an earlier or a second call does no harm. */
  get alarmAt(): number | undefined {
    let at: number | undefined;
    for (const { epoch, due } of this.#wills.values()) {
      // The alarm outlives an object that dies while its will is on its way.
      const retryAt = Math.max(this.#retryWillsAt ?? 0, (this.#publishing.get(epoch) ?? -Infinity) + WILL_RETRY_MS);
      const next = due === undefined ? this.#stillHereAt : Math.max(due, retryAt);
      if (at === undefined || next < at) at = next;
    }
    return at;
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
    this.#publishing.delete(epoch);
    this.#dropWill(epoch);
    return this.#settle(now);
  }

  willFailed(epoch: number, now: number): readonly SessionEffect[] {
    this.#publishing.delete(epoch);
    this.#retryWillsAt = now + WILL_RETRY_MS;
    return this.#settle(now);
  }

  #record(link: number, record: SessionBound, now: number): void {
    switch (record.kind) {
      case records.Kind.Connect:
        if (record.versionMin > records.LINK_VERSIONS.max || record.versionMax < records.LINK_VERSIONS.min) {
          this.#refuse(link, Reason.ServerShuttingDown);
        } else if (record.reattach) {
          this.#reattach(link, record, record.reattach, now);
        } else if (record.connection === this.#latest.connection) {
          this.#reattach(link, record, this.#latest, now);
        } else {
          this.#connect(link, record, now);
        }
        return;
      case records.Kind.End:
        if (this.#current?.id === link) {
          this.#release(this.#current.attachment.epoch, record.publishWill, now);
          this.#current = undefined;
        }
        this.#send(link, records.writeEnded);
        return;
      default:
        throw new LinkFormatError("not a record for a session object");
    }
  }

  #connect(link: number, connect: ConnectRecord, now: number): void {
    if (this.#superseded.includes(connect.connection)) {
      this.#refuse(link, Reason.SessionTakenOver);
      return;
    }
    this.#takeOver();
    this.#superseded.push(this.#latest.connection);
    if (this.#superseded.length > SUPERSEDED_KEPT) this.#superseded.shift();
    this.#store.transaction(() => {
      // The session of before ends here, whoever still holds it, and so every will of it is due.
      for (const { epoch } of this.#wills.values()) this.#release(epoch, true, now);
      this.#latest = {
        generation: Math.max(this.#latest.generation + 1, now),
        epoch: Math.max(this.#latest.epoch + 1, now),
        connection: connect.connection,
      };
      if (connect.will) this.#putWill({ ...this.#latest, message: connect.will, due: undefined });
    });
    this.#welcome(link, connect.link, now);
  }

  #reattach(link: number, connect: ConnectRecord, fence: Fence, now: number): void {
    const will = this.#wills.get(fence.epoch);
    const ended = will?.due !== undefined && will.due <= now;
    if (fence.epoch < this.#latest.epoch || ended) {
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
    this.#latest = { generation: fence.generation, epoch: fence.epoch, connection: connect.connection };
    if (will) this.#setDue(will, undefined);
    this.#welcome(link, connect.link, now);
  }

  /** The connection that is here makes room for another one. */
  #takeOver(): void {
    if (this.#current) this.#refuse(this.#current.id, Reason.SessionTakenOver);
    this.#current = undefined;
  }

  #welcome(link: number, number: number, now: number): void {
    this.#current = { id: link, attachment: { ...this.#latest, link: number, at: now } };
    this.#stillHereAt = now + STILL_HERE_MS;
    this.#effects.push({ type: "attach", link, attachment: this.#current.attachment });
    this.#send(link, (to) => records.writeWelcome(to, records.LINK_VERSIONS.max, this.#latest, false));
  }

  /** A link went without END: its connection may come back. */
  #lose(link: number, now: number): void {
    if (this.#current?.id !== link) return;
    const will = this.#wills.get(this.#current.attachment.epoch);
    this.#current = undefined;
    if (will) this.#expect(will, now);
  }

  /** A will's connection has no link: it is published unless the connection comes back in time. */
  #expect(will: Will, now: number): void {
    if (will.due === undefined) this.#setDue(will, now + GRACE_MS);
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

  /** A connection is over: its will is due unless its client said goodbye [MQTT-3.1.2-10]. */
  #release(epoch: number, publish: boolean, now: number): void {
    const will = this.#wills.get(epoch);
    if (!will || (will.due !== undefined && will.due <= now)) return;
    if (publish) this.#setDue(will, now);
    else this.#dropWill(epoch);
  }

  #putWill(will: Will): void {
    this.#store.putWill(will);
    this.#wills.set(will.epoch, will);
    this.#stored = true;
  }

  #setDue(will: Will, due: number | undefined): void {
    if (will.due === due) return;
    this.#store.setDue(will.epoch, due);
    this.#wills.set(will.epoch, { ...will, due });
  }

  #dropWill(epoch: number): void {
    if (this.#wills.delete(epoch)) this.#store.deleteWill(epoch);
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
    if (this.#retryWillsAt !== undefined && now >= this.#retryWillsAt) this.#retryWillsAt = undefined;
    if (this.#retryWillsAt === undefined) {
      for (const { due, generation, epoch, message } of this.#wills.values()) {
        if (due === undefined || due > now || this.#publishing.has(epoch)) continue;
        this.#publishing.set(epoch, now);
        this.#effects.push({ type: "publishWill", fence: { generation, epoch }, message });
      }
    }
    if (this.#stored && this.#wills.size === 0) {
      this.#stored = false;
      this.#store.wiped();
      this.#effects.push({ type: "wipe" });
    }
    return this.#effects.splice(0);
  }
}
