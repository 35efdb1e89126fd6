/**
 * How fast may publishers go on after a wide fan-out? A message to a thousand links is a thousand frames, which cost the
 * same with one message in each as with fifty. Taking the next frame from the publisher at once makes frames of one
 * message; so the credit for it is held back until the last of those links has echoed, that is, until the frames have
 * been taken at the other end. What is published meanwhile comes as one frame, and fans out as one.
 *
 * Only wide turns are paced, and for a bounded time, so one slow link cannot stop a publisher.
 */

import { writeEcho, writeTaken } from "../../link/records.ts";
import type { Attendance } from "./attendance.ts";
import type { Outbox, Outlet } from "./outlet.ts";

/** Turns that reach fewer links are not paced. */
export const WIDE_LINKS = 32;
/** A thousand links are waited for this long at most, and more in proportion. */
const WAIT_MS_PER_THOUSAND = 20;
/** After an echo that took long, what its deliveries set off is given this part of that time to arrive as well. */
const SLACK = 1 / 10;
const SLACK_MS_MAX = 10;

export class Pace {
  readonly #outbox: Outbox;
  /** The link whose echo is waited for, and until when. */
  #waiting: { readonly outlet: Outlet; readonly since: number; until: number } | undefined;
  /** Publishers whose frame is taken, and who are not told yet. */
  readonly #held = new Set<Attendance>();

  constructor(outbox: Outbox) {
    this.#outbox = outbox;
  }

  get deadline(): number | undefined {
    return this.#waiting?.until;
  }

  /** A frame of this link is worked off: tells it so, now or later. */
  taken(from: Attendance, published: boolean, now: number): void {
    const { outlets } = this.#outbox;
    if (published && !this.#waiting && outlets.length >= WIDE_LINKS) {
      const last = outlets.at(-1)!;
      const outlet = last === from.outlet ? outlets.at(-2)! : last;
      writeEcho(this.#outbox.records(outlet));
      const wait = Math.max(1, Math.round((outlets.length * WAIT_MS_PER_THOUSAND) / 1000));
      this.#waiting = { outlet, since: now, until: now + wait };
    }
    if (published && this.#waiting) this.#held.add(from);
    else this.#tell(from);
  }

  echoed(outlet: Outlet | undefined, now: number): void {
    if (!outlet || outlet !== this.#waiting?.outlet) return;
    this.#waiting.until = now + Math.min(Math.floor((now - this.#waiting.since) * SLACK), SLACK_MS_MAX);
    this.tick(now);
  }

  /** A link is gone, and its echo with it. */
  gone(outlet: Outlet | undefined): void {
    if (outlet && outlet === this.#waiting?.outlet) this.#release();
  }

  tick(now: number): void {
    if (this.#waiting && now >= this.#waiting.until) this.#release();
  }

  #release(): void {
    this.#waiting = undefined;
    for (const attendance of this.#held) this.#tell(attendance);
    this.#held.clear();
  }

  #tell(attendance: Attendance): void {
    if (attendance.outlet) writeTaken(this.#outbox.records(attendance.outlet));
  }
}
