/**
 * What does the log keep, and for whom? A session's queue is the part of the log behind its place that matches its
 * subscriptions; nothing is stored for it alone, so nothing is ever removed from one queue only.
 *
 *     log    [ batch ][ batch ][ batch ][ batch ][ batch ]
 *              gone     kept     gone     kept     new       what no session needs goes, from the front and, under
 *                       └ a's place       └ b's place        pressure, from the middle
 *
 * What a limit takes from a session is counted and reported: the oldest messages first.
 */

import type { Limits } from "../limits.ts";
import { Phase } from "../../link/records.ts";
import { remainingSeconds } from "../../mqtt/message.ts";
import type { Attendance } from "./attendance.ts";
import type { Fanout } from "./fanout.ts";
import type { Log } from "./log.ts";
import type { Roster } from "./roster.ts";
import { ShareGroup } from "./share-group.ts";
import type { ShareGroups } from "./share-groups.ts";
import type { Entry } from "./store.ts";

/** How much of the log is looked through before other turns are let in. */
const SURVEY_BYTES = 4 * 1024 * 1024;
/** Until the next part of it. */
const SURVEY_PAUSE_MS = 20;
/** The log is not looked through again before it has grown to this part of its limit, or to twice what was needed. */
const PRESSURE = 1 / 16;

interface Parts {
  readonly log: Log;
  readonly fanout: Fanout;
  readonly roster: Roster;
  readonly groups: ShareGroups;
}

/** Whoever reads the log from a place of its own. */
type Reader = Attendance | ShareGroup;

/** Says that sessions lost messages to a limit. */
type Report = (why: string, messages: number, sessions: number) => void;

export class Queues {
  readonly #log: Log;
  readonly #fanout: Fanout;
  readonly #roster: Roster;
  readonly #groups: ShareGroups;
  readonly #limits: Limits;
  readonly #report: Report;
  #pressureBytes: number;
  /** How far the log has been looked through, while it is. */
  #surveyed: number | undefined;
  #neededBytes = 0;

  constructor(parts: Parts, limits: Limits, report: Report) {
    this.#log = parts.log;
    this.#fanout = parts.fanout;
    this.#roster = parts.roster;
    this.#groups = parts.groups;
    this.#limits = limits;
    this.#report = report;
    this.#pressureBytes = limits.logBytesMax * PRESSURE;
  }

  /** When the oldest batch is too old, in milliseconds since 1970. */
  get nextExpiry(): number | undefined {
    const { oldestAt } = this.#log;
    return oldestAt === undefined ? undefined : oldestAt + this.#limits.queueSecondsMax * 1000 + 1;
  }

  /** A session, or a share group, comes back: of more than may wait for it the newest messages are left. */
  limit(reader: Reader, now: number): void {
    const { behind } = reader;
    const { queueMessagesMax, queueBytesMax } = this.#limits;
    if (behind === undefined) return;
    if (this.#log.head - behind <= queueMessagesMax && this.#log.bytesAfter(behind) <= queueBytesMax) return;
    const queue: { offset: number; bytes: number }[] = [];
    this.#each(behind, Infinity, (entry) => {
      if (this.#wants(reader, entry, now)) queue.push({ offset: entry.offset, bytes: bytesOf(entry) });
    });
    let kept = 0;
    for (let bytes = 0; kept < Math.min(queue.length, queueMessagesMax); kept++) {
      bytes += queue.at(-1 - kept)!.bytes;
      if (bytes > queueBytesMax) break;
    }
    const dropped = queue.length - kept;
    if (dropped === 0) return;
    reader.reach(queue[dropped - 1]!.offset);
    this.#report("queue limit", dropped, 1);
  }

  /**
   * Deletes what no session needs, and what the limits do not allow.
   *
   * @param recovering sessions may come back that are not known, so that nobody knows what is needed
   * @returns when to go on, if this took too long
   */
  trim(recovering: boolean, now: number): number | undefined {
    this.#cut(this.#log.cutForAge(now - this.#limits.queueSecondsMax * 1000), "too old", now);
    this.#cut(this.#log.cutForBytes(this.#limits.logBytesMax), "log full", now);
    if (recovering) return undefined;
    let needed = this.#log.head;
    let certain = needed;
    for (const attendance of this.#roster.owing) {
      const needs = attendance.needs();
      if (!attendance.owes) this.#roster.settled(attendance);
      if (needs === undefined) continue;
      needed = Math.min(needed, needs);
      if (!attendance.uncertain) certain = Math.min(certain, needs);
    }
    for (const group of this.#groups.all) {
      const needs = group.needs();
      if (needs === undefined) continue;
      needed = Math.min(needed, needs);
      if (!group.uncertain) certain = Math.min(certain, needs);
    }
    this.#log.trim(needed);
    const held = needed < certain && this.#log.holdsAfter(needed);
    if (this.#surveyed === undefined && !held && this.#log.bytes <= this.#pressureBytes) return undefined;
    return this.#survey(now);
  }

  /** The log is cut, wanted or not. */
  #cut(cut: number | undefined, why: string, now: number): void {
    if (cut === undefined) return;
    const losers = new Set<Reader>();
    let messages = 0;
    this.#each(0, cut, (entry) => {
      for (const reader of this.#wanting(entry, now)) {
        messages += 1;
        losers.add(reader);
      }
    });
    for (const attendance of this.#roster.owing) attendance.release(cut);
    for (const group of this.#groups.all) {
      const lost = group.release(cut);
      messages += lost;
      if (lost > 0) losers.add(group);
    }
    this.#log.cut(cut);
    if (messages > 0) this.#report(why, messages, losers.size);
  }

  /**
   * Looks for batches that nobody needs although older ones are needed, and for what those sessions need that came back
   * from storage, where only a lower bound of their place is.
   */
  #survey(now: number): number | undefined {
    const inflight = new Set<number>();
    for (const attendance of this.#roster.owing) {
      for (const { offset, source, phase } of attendance.inflight.values()) {
        if (source === 0 && phase !== Phase.Received) inflight.add(offset);
      }
    }
    for (const { out, back } of this.#groups.all) {
      for (const offset of out.keys()) inflight.add(offset);
      for (const offset of back) inflight.add(offset);
    }
    if (this.#surveyed === undefined) this.#neededBytes = 0;
    let at = this.#surveyed ?? 0;
    for (let looked = 0; looked < SURVEY_BYTES;) {
      const entries = this.#log.read(at);
      const last = entries.at(-1)?.offset;
      if (last === undefined) {
        this.#surveyed = undefined;
        this.#conclude();
        return undefined;
      }
      let needed = false;
      for (const entry of entries) needed = this.#look(entry, now) || inflight.has(entry.offset) || needed;
      const bytes = this.#log.batchBytes(last);
      if (needed) this.#neededBytes += bytes;
      else this.#log.drop(last);
      looked += bytes;
      at = last;
    }
    this.#surveyed = at;
    return now + SURVEY_PAUSE_MS;
  }

  /** Everything was looked at: whose place is still uncertain needs nothing. */
  #conclude(): void {
    for (const reader of [...this.#roster.owing, ...this.#groups.all]) {
      if (!reader.uncertain) continue;
      reader.uncertain = false;
      reader.reach(undefined);
    }
    this.#pressureBytes = Math.max(this.#limits.logBytesMax * PRESSURE, 2 * this.#neededBytes);
  }

  /** Returns true when somebody still needs the entry. */
  #look(entry: Entry, now: number): boolean {
    let needed = false;
    for (const reader of this.#wanting(entry, now)) {
      needed = true;
      if (!reader.uncertain) continue;
      reader.uncertain = false;
      reader.reach(entry.offset - 1);
    }
    return needed;
  }

  /** The sessions and share groups that an entry waits for. */
  *#wanting(entry: Entry, now: number): Generator<Reader> {
    const { recipients, groups } = this.#fanout.plan(entry.message.topic);
    for (const { attendance } of recipients) if (this.#waitsFor(attendance, entry, now)) yield attendance;
    for (const group of groups) if (this.#waitsFor(group, entry, now)) yield group;
  }

  #waitsFor(reader: Reader, entry: Entry, now: number): boolean {
    return reader.behind !== undefined && reader.behind < entry.offset && this.#wants(reader, entry, now);
  }

  #wants(reader: Reader, { offset, message }: Entry, now: number): boolean {
    if (remainingSeconds(message, now) === 0) return false;
    if (reader instanceof ShareGroup) {
      return reader.isDue(offset) && reader.wants(message);
    }
    return this.#fanout.terms(reader, message, offset) !== undefined;
  }

  /** Calls `visit` for the entries after `offset`, up to and with `upTo`. */
  #each(offset: number, upTo: number, visit: (entry: Entry) => void): void {
    for (let entries = this.#log.read(offset); entries.length > 0; entries = this.#log.read(entries.at(-1)!.offset)) {
      for (const entry of entries) {
        if (entry.offset > upTo) return;
        visit(entry);
      }
    }
  }
}

function bytesOf({ message }: Entry): number {
  return message.topicUtf8.length + message.properties.length + message.payload.length;
}
