/**
 * Who comes too often? The platform counts, in each of its locations, by the limiters that the Worker is given as bindings
 * (`docs/limits.md`); one that is not given limits nothing. It is near and quick and not exact, so it is for floods.
 *
 * - An address, each time that it asks for a WebSocket: HTTP 429. Of IPv6 its first 64 bits count.
 * - A user, each time that a client has proved to be this user: CONNACK 0x9F. Before that the name is only a claim, and
 *   anybody could use it up.
 * - An address and a user's name, each time that somebody's proof was wrong: CONNACK 0x9F before anything is computed for the
 *   next one. A limiter can only be asked by counting, which a login that may be right is not to do. So what the limiter has
 *   said no to is remembered here, for {@link SHUT_MS}; then one more is computed, and counted if it is wrong.
 * - An address, each time that it brings a wrong admin token: HTTP 429 in the same way, also for the right one.
 *
 * Users of the same name in two tenants are two users, and an address is one in all of them.
 *
 * Whoever guesses passwords of a name keeps its user from connecting from elsewhere, if names are limited.
 */

import type { Answer, Question } from "../core/authentication/asking.ts";
import { readAddress } from "../core/bans/address.ts";
import { Reason } from "../mqtt/reason.ts";

/** As the platform's rate limiting binding is. */
export interface Limiter {
  limit(of: { readonly key: string }): Promise<{ readonly success: boolean }>;
}

/** The bindings by their names in `wrangler.toml`. */
export const LIMITERS = [
  "CONNECT_LIMITER_ADDRESS",
  "CONNECT_LIMITER_USER",
  "LOGIN_LIMITER_ADDRESS",
  "LOGIN_LIMITER_USER",
  "ADMIN_LIMITER",
] as const;

export type Limiters = Partial<Record<(typeof LIMITERS)[number], Limiter | undefined>>;

/** The limiter's period is 10 or 60 s, and it does not tell which. */
export const SHUT_MS = 10_000;
/** Of more keys those are forgotten that were shut first. */
const SHUT_MAX = 10_000;
/** A key is kept and sent: a user name may have 64 KiB. */
const KEY_MAX = 256;

/** Of whom a question is. */
export interface Comer {
  /** As far as it is known. */
  readonly tenant: string;
  readonly address: string | undefined;
  /** It is not known yet who the client is. */
  readonly first: boolean;
}

export class Turnstile {
  readonly #limiters: Limiters;
  /** Until when, in milliseconds since 1970. */
  readonly #shut = new Map<string, number>();

  constructor(limiters: Limiters) {
    this.#limiters = limiters;
  }

  get shut(): number {
    return this.#shut.size;
  }

  /** May this address ask for a WebSocket once more? Undefined: yes, and there was nobody to ask. */
  address(address: string | undefined): Promise<boolean> | undefined {
    const limiter = this.#limiters.CONNECT_LIMITER_ADDRESS;
    return limiter && address !== undefined ? mayPass(limiter, source(address)) : undefined;
  }

  /**
   * Has a client's question answered, unless it has come too often.
   *
   * @param ask answers the question
   */
  async pass(question: Question, comer: Comer, now: number, ask: () => Answer | Promise<Answer>): Promise<Answer> {
    // Who is known already proves nothing with these.
    if (question.type === "current" || question.type === "decide") return ask();
    const keys = this.#keys(question, comer);
    for (const { key } of keys) if (this.#isShut(key, now)) return tooOften("too many refused logins");
    const answer = await ask();
    if (answer.type === "refused" && isWrong(answer.reason)) {
      for (const { limiter, key, value } of keys) if (!(await mayPass(limiter, value))) this.#close(key, now);
    }
    const byUser = this.#limiters.CONNECT_LIMITER_USER;
    if (answer.type !== "accepted" || !comer.first || !byUser) return answer;
    const { user, tenant = comer.tenant } = answer.identity;
    if (user === undefined || (await mayPass(byUser, `${tenant}/${user}`))) return answer;
    return tooOften("the user connects too often");
  }

  /** Is this an admin? Undefined: so many of this address were none that it is not looked at. */
  async admin(address: string | undefined, now: number, look: () => boolean): Promise<boolean | undefined> {
    const limiter = this.#limiters.ADMIN_LIMITER;
    if (!limiter || address === undefined) return look();
    const from = source(address);
    const key = `admin ${from}`;
    if (this.#isShut(key, now)) return undefined;
    const isOne = look();
    if (!isOne && !(await mayPass(limiter, from))) this.#close(key, now);
    return isOne;
  }

  /** What a wrong proof is counted of. */
  #keys(question: Question, { tenant, address }: Comer): { limiter: Limiter; key: string; value: string }[] {
    const { LOGIN_LIMITER_ADDRESS: byAddress, LOGIN_LIMITER_USER: byUser } = this.#limiters;
    const name = question.type === "identify" ? question.credentials.username : undefined;
    const user = name === undefined ? undefined : `${tenant}/${name.slice(0, KEY_MAX)}`;
    const from = address === undefined ? undefined : source(address);
    return [
      ...(byAddress && from !== undefined ? [{ limiter: byAddress, key: `address ${from}`, value: from }] : []),
      ...(byUser && user !== undefined ? [{ limiter: byUser, key: `user ${user}`, value: user }] : []),
    ];
  }

  #isShut(key: string, now: number): boolean {
    const until = this.#shut.get(key);
    if (until === undefined) return false;
    if (now < until) return true;
    this.#shut.delete(key);
    return false;
  }

  #close(key: string, now: number): void {
    this.#shut.delete(key);
    if (this.#shut.size >= SHUT_MAX) this.#shut.delete(this.#shut.keys().next().value!);
    this.#shut.set(key, now + SHUT_MS);
  }
}

/** The client is not who it says it is. Whoever could not be asked is not the client's fault. */
function isWrong(reason: Reason): boolean {
  return reason === Reason.BadUserNameOrPassword || reason === Reason.NotAuthorized;
}

/** What an address is counted as. Of IPv6 whoever has one address has the 2⁶⁴ that begin like it. */
function source(address: string): string {
  const known = readAddress(address);
  return known?.family === 6 ? known.bits.slice(0, 64) : address;
}

/** A limiter that does not answer limits nothing. */
async function mayPass(limiter: Limiter, value: string): Promise<boolean> {
  try {
    return (await limiter.limit({ key: value.slice(0, KEY_MAX) })).success;
  } catch {
    return true;
  }
}

function tooOften(detail: string): Answer {
  return { type: "refused", reason: Reason.ConnectionRateExceeded, detail };
}
