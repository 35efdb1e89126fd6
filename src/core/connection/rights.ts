/**
 * What the client may, and what does not pass until that is known: somebody may have to be asked about it first
 * (`deciding.ts`), and what is known may be too old (`standing.ts`).
 */

import type { Current, Decided, Question } from "../authentication/asking.ts";
import type { Need } from "../authorization/permissions.ts";
import type { Admission } from "./admission.ts";
import { Deciding } from "./deciding.ts";
import type { Effect } from "./effects.ts";
import { Standing } from "./standing.ts";

/** What the rights need of the connection. */
export interface RightsHost {
  readonly effects: Effect[];
  ask(question: Question): void;
  /** A frame of a shard that was held. */
  take(shard: number, frame: Uint8Array, now: number): void;
  /** What it takes to go on with the subscriptions that there are. */
  readonly subscribed: readonly Need[];
  /** Ends those that the client may not have any more. */
  withdraw(now: number): void;
}

export class Rights {
  readonly #host: RightsHost;
  readonly #admission: Admission;
  readonly #standing = new Standing();
  readonly #deciding = new Deciding();

  constructor(host: RightsHost, admission: Admission) {
    this.#host = host;
    this.#admission = admission;
  }

  /** Something has to be found out, and the client's packets wait. */
  get waits(): boolean {
    return this.#standing.isWaiting || this.#deciding.waits;
  }

  /** When {@link lapse} has to be called at the latest. */
  get deadline(): number | undefined {
    return this.#standing.deadline;
  }

  /** What is known from now on is known of the client as it is now. */
  known(now: number): void {
    this.#standing.known(this.#admission.access.freshUntil, now);
  }

  // Whether somebody has to be asked first.

  /** What is looked up from now on is looked up at that time. */
  at(now: number): void {
    this.#admission.permissions.asked?.at(now);
  }

  /** What was asked for is done. */
  done(): void {
    if (!this.#deciding.waits) this.#admission.permissions.asked?.forget();
  }

  /** Goes on when it is known whether the client may do each of these: at once, or when somebody has said so. */
  when(needs: readonly Need[], now: number, goOn: (now: number) => void): void {
    const { asked } = this.#admission.permissions;
    asked?.at(now);
    const unknown = asked?.unknown(needs) ?? [];
    if (asked && unknown.length > 0) {
      const { user, claims } = this.#admission.identity!;
      const { tenant, clientId } = this.#admission;
      const again = (later: number): void => this.when(needs, later, goOn);
      const question = this.#deciding.ask({ tenant, client: { user, clientId, claims } }, asked, unknown, again);
      if (question) this.#host.ask(question);
    } else goOn(now);
  }

  decided(answer: Decided, now: number): void {
    if (answer.problem !== undefined) this.#host.effects.push({ type: "undecided", detail: answer.problem });
    const next = this.#deciding.answered(answer, now);
    if (next) this.#host.ask(next);
  }

  // Whether what is known still holds.

  /** What is about to pass has to wait: it is asked, or was, whether it may. */
  holds(now: number): boolean {
    if (this.#standing.isWaiting) return true;
    if (!this.#standing.isStale(now)) return false;
    this.#host.ask(this.#standing.ask(this.#admission.identity!, now));
    return true;
  }

  /** Keeps a frame that has to wait. */
  hold(shard: number, frame: Uint8Array): void {
    this.#standing.hold(shard, frame);
  }

  /** The link to a shard is gone, and what it brought with it. */
  drop(shard: number): void {
    this.#standing.drop(shard);
  }

  /** @throws MqttError when the client is not any more who it was, or is banned */
  current({ doubt, identity }: Current, now: number): void {
    if (!this.#standing.answered(doubt)) return;
    if (this.#admission.confirmed(identity, now)) this.#changed(now);
    else this.#goOn(now);
  }

  /** The client has proven once more who it is, and may perhaps something else. */
  renewed(now: number): void {
    this.#standing.renewed();
    this.#changed(now);
  }

  #changed(now: number): void {
    this.when(this.#host.subscribed, now, (later) => {
      this.#host.withdraw(later);
      this.#goOn(later);
    });
  }

  /** What waited goes on, by what is known now. */
  #goOn(now: number): void {
    this.known(now);
    this.release(now);
  }

  /** What waits for an answer has waited for long enough, and goes on by what was known before. False: nothing did. */
  lapse(now: number): boolean {
    if (!this.#standing.isWaiting) return false;
    this.#standing.lapse(now);
    this.release(now);
    return true;
  }

  /** Frames that were held are taken. */
  release(now: number): void {
    for (let held = this.#standing.release(); held; held = this.#standing.release()) {
      this.#host.take(held.shard, held.frame, now);
    }
  }
}
