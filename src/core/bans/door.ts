/**
 * Who is turned away, whatever it can prove. A client comes by twice: with its CONNECT, before anything is computed for it, and
 * when it is known who it is, before anything is opened for it.
 */

import { MqttError, Reason } from "../../mqtt/reason.ts";
import type { Bans, Candidate } from "./bans.ts";
import type { Flapping } from "./flapping.ts";

export class Door {
  readonly bans: Bans;
  readonly #flapping: Flapping;

  constructor(bans: Bans, flapping: Flapping) {
    this.bans = bans;
    this.#flapping = flapping;
  }

  /** @throws MqttError Banned */
  check(candidate: Candidate, now: number): void {
    checkBans(this.bans, candidate, Reason.Banned, now);
  }

  /**
   * A client that is known connects to a session.
   *
   * @throws MqttError Banned
   */
  enter(session: string, now: number): void {
    const until = this.#flapping.connects(session, now);
    if (until !== undefined) throw new MqttError(Reason.Banned, `it connects too often: kept out${still(until, now)}`);
  }
}

/**
 * @param reason Banned of who is about to come in; no DISCONNECT can say that of who is in [MQTT-3.14.2-1]
 * @throws MqttError with that reason
 */
export function checkBans(
  bans: Bans,
  candidate: Candidate,
  reason: typeof Reason.Banned | typeof Reason.AdministrativeAction,
  now: number,
): void {
  const ban = bans.find(candidate, now);
  if (!ban) return;
  const { type, value, until, why } = ban;
  const what = type === "clientId" ? "the client id" : type === "user" ? "the user" : `the address (${value})`;
  throw new MqttError(reason, `${what} is banned${still(until, now)}${why ? `: ${why}` : ""}`);
}

function still(until: number | undefined, now: number): string {
  return until === undefined ? "" : ` for another ${Math.ceil((until - now) / 1000)} s`;
}
