/**
 * The session object's rules: which connection is a client id's one connection, and what becomes of its will.
 *
 * - Every accepted CONNECT raises the epoch. Numbers are `max(stored + 1, now)`, so they rise even across a wipe.
 * - A new CONNECT takes the session over: the old connection is told 0x8E and its link closed [MQTT-3.1.4-3].
 * - A connection whose link broke comes back with its own epoch, and is welcome only while that is the stored one:
 *   of any number of racing connections exactly one survives.
 * - A link that closes without END may come back within {@link GRACE_MS}; then its client counts as gone.
 * - A will is published on every end but END(publishWill = false) [MQTT-3.1.2-8], through its topic's shard, which
 *   stores that it did: an alarm that fires twice publishes once.
 * - When nothing is owed any more the object wipes itself.
 */

import { ByteReader, ByteWriter, LinkFormatError } from "../../link/bytes.ts";
import type { ConnectRecord, Fence, SessionBound } from "../../link/records.ts";
import * as records from "../../link/records.ts";
import type { Message } from "../../mqtt/message.ts";
import { Reason } from "../../mqtt/reason.ts";
import type { SessionRow, SessionStore, WillRow } from "./store.ts";

/** How long a lost link may take to come back; above what a connection tries for (`GIVE_UP_MS`). */
export const GRACE_MS = 40_000;
/** How often a session with a will makes sure that its connection did not vanish without a close. */
export const STILL_HERE_MS = 12 * 3600 * 1000;
/** A link that was silent for this long, at a ping every four minutes, has nobody at its other end. */
export const SILENCE_MAX_MS = 15 * 60 * 1000;
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

/** What stays with a link's socket while the object sleeps. */
export interface SessionAttachment extends Fence {
  readonly link: number;
}

export interface SessionLink {
  /** The shell's name for the socket. */
  readonly id: number;
  readonly attachment: SessionAttachment;
}

export class Session {
  readonly #store: SessionStore;
  /** When a link's automatic ping was last answered, in ms since 1970; asked for only by the coarse alarm. */
  readonly #lastPingAt: (link: number) => number | undefined;
  #row: SessionRow | undefined;
  readonly #wills: Map<number, WillRow>;
  /** Something is stored, so there will be something to wipe. */
  #stored: boolean;
  #current: SessionLink | undefined;
  #stillHereAt: number | undefined;
  /** Epochs whose will is on its way to its shard. */
  readonly #publishing = new Set<number>();
  #retryWillsAt: number | undefined;
  #effects: SessionEffect[] = [];

  /**
   * @param links the sockets that the object woke with
   */
  constructor(
    store: SessionStore,
    links: readonly SessionLink[],
    lastPingAt: (link: number) => number | undefined,
    now: number,
  ) {
    this.#store = store;
    this.#lastPingAt = lastPingAt;
    this.#row = store.session();
    this.#wills = new Map(store.wills().map((will) => [will.epoch, will]));
    this.#stored = this.#row !== undefined || this.#wills.size > 0;
    this.#current = links.find((link) => link.attachment.epoch === this.#row?.epoch);
    if (this.#current) this.#stillHereAt = now + STILL_HERE_MS;
    else if (this.#row && this.#row.graceUntil === undefined) this.#lose(now);
  }

  /** When {@link alarm} has to be called; a later or a second call does no harm. */
  get alarmAt(): number | undefined {
    const times = [this.#row?.graceUntil];
    if (this.#current && this.#wills.has(this.#current.attachment.epoch)) times.push(this.#stillHereAt);
    for (const will of this.#wills.values()) if (will.due !== undefined) times.push(this.#retryWillsAt ?? will.due);
    const known = times.filter((time) => time !== undefined);
    return known.length > 0 ? Math.min(...known) : undefined;
  }

  frame(link: number, frame: Uint8Array, now: number): readonly SessionEffect[] {
    try {
      const reader = new ByteReader(frame);
      while (!reader.done) this.#record(link, records.readRecord(reader, now) as SessionBound, now);
    } catch (error) {
      if (!(error instanceof LinkFormatError)) throw error;
      this.#effects.push({ type: "close", link });
    }
    return this.#settle(now);
  }

  closed(link: number, now: number): readonly SessionEffect[] {
    if (this.#current?.id === link) {
      this.#current = undefined;
      this.#lose(now);
    }
    return this.#settle(now);
  }

  alarm(now: number): readonly SessionEffect[] {
    if (this.#current && this.#stillHereAt !== undefined && now >= this.#stillHereAt) this.#lookFor(this.#current, now);
    if (this.#row?.graceUntil !== undefined && now >= this.#row.graceUntil) this.#end(this.#row, true, now);
    if (this.#retryWillsAt !== undefined && now >= this.#retryWillsAt) this.#retryWillsAt = undefined;
    return this.#settle(now);
  }

  /** The shard has the will, or had it already. */
  willPublished(epoch: number, now: number): readonly SessionEffect[] {
    this.#publishing.delete(epoch);
    this.#wills.delete(epoch);
    this.#store.deleteWill(epoch);
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
        } else {
          this.#connect(link, record, now);
        }
        return;
      case records.Kind.End:
        if (this.#current?.id === link && this.#row) {
          this.#current = undefined;
          this.#end(this.#row, record.publishWill, now);
        }
        this.#send(link, records.writeEnded);
        return;
      default:
        throw new LinkFormatError("not a record for a session object");
    }
  }

  #connect(link: number, connect: ConnectRecord, now: number): void {
    const previous = this.#row;
    if (this.#current) {
      this.#refuse(this.#current.id, Reason.SessionTakenOver);
      this.#current = undefined;
    }
    this.#store.transaction(() => {
      if (previous) this.#release(previous.epoch, true, now);
      const row: SessionRow = {
        generation: Math.max((previous?.generation ?? 0) + 1, now),
        epoch: Math.max((previous?.epoch ?? 0) + 1, now),
        graceUntil: undefined,
      };
      this.#putRow(row);
      if (connect.will)
        this.#putWill({ generation: row.generation, epoch: row.epoch, message: connect.will, due: undefined });
    });
    this.#welcome(link, connect.link, now);
  }

  #reattach(link: number, connect: ConnectRecord, fence: Fence, now: number): void {
    const row = this.#row;
    if (!row || row.epoch !== fence.epoch || row.generation !== fence.generation) {
      this.#refuse(link, Reason.SessionTakenOver);
      return;
    }
    if (this.#current && this.#current.id !== link) {
      if (this.#current.attachment.link > connect.link) {
        // An older socket of the same connection arrived late.
        this.#effects.push({ type: "close", link });
        return;
      }
      this.#effects.push({ type: "close", link: this.#current.id });
    }
    if (row.graceUntil !== undefined) this.#putRow({ ...row, graceUntil: undefined });
    this.#welcome(link, connect.link, now);
  }

  #welcome(link: number, linkNumber: number, now: number): void {
    const fence = { generation: this.#row!.generation, epoch: this.#row!.epoch };
    this.#current = { id: link, attachment: { ...fence, link: linkNumber } };
    this.#stillHereAt = now + STILL_HERE_MS;
    this.#effects.push({ type: "attach", link, attachment: this.#current.attachment });
    this.#send(link, (to) => records.writeWelcome(to, records.LINK_VERSIONS.max, fence, false));
  }

  /** The link went without END: its connection may come back. */
  #lose(now: number): void {
    if (this.#row) this.#putRow({ ...this.#row, graceUntil: now + GRACE_MS });
  }

  /** Is the other end of a link still there, that has not been heard of for hours? */
  #lookFor(link: SessionLink, now: number): void {
    const heardAt = this.#lastPingAt(link.id);
    this.#stillHereAt = now + STILL_HERE_MS;
    if (heardAt !== undefined && now - heardAt <= SILENCE_MAX_MS) return;
    this.#effects.push({ type: "close", link: link.id });
    this.#current = undefined;
    this.#lose(now);
  }

  /** The connection is over; the will is published unless its client said goodbye [MQTT-3.1.2-10]. */
  #end(row: SessionRow, publishWill: boolean, now: number): void {
    this.#store.transaction(() => {
      this.#release(row.epoch, publishWill, now);
      this.#store.deleteSession();
      this.#row = undefined;
    });
  }

  /** A connection's will becomes due, or is dropped. */
  #release(epoch: number, publish: boolean, now: number): void {
    const will = this.#wills.get(epoch);
    if (!will || will.due !== undefined) return;
    if (publish) {
      this.#putWill({ ...will, due: now });
    } else {
      this.#wills.delete(epoch);
      this.#store.deleteWill(epoch);
    }
  }

  #putRow(row: SessionRow): void {
    this.#store.putSession(row);
    this.#row = row;
    this.#stored = true;
  }

  #putWill(will: WillRow): void {
    this.#store.putWill(will);
    this.#wills.set(will.epoch, will);
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
    for (const will of this.#wills.values()) {
      const waits = this.#retryWillsAt !== undefined && now < this.#retryWillsAt;
      if (will.due === undefined || will.due > now || waits || this.#publishing.has(will.epoch)) continue;
      this.#publishing.add(will.epoch);
      const { generation, epoch, message } = will;
      this.#effects.push({ type: "publishWill", fence: { generation, epoch }, message });
    }
    if (this.#stored && !this.#row && this.#wills.size === 0) {
      this.#stored = false;
      this.#store.wiped();
      this.#effects.push({ type: "wipe" });
    }
    return this.#effects.splice(0);
  }
}
