/**
 * Who may not connect, whatever it can prove: client ids, users, and addresses, alone or as networks. A ban may have an end;
 * one that is over is as if it had never been. One of a client id or a user may be of one tenant, as another's of the same
 * name is somebody else.
 *
 * Whoever keeps a list of bans puts it in here, and takes out what is lifted. A look-up costs one step for a client id
 * and a user, and one for each length of prefix that some network has.
 */

import { type Network, readAddress, readNetwork } from "./address.ts";

export const BANNED = ["clientId", "user", "address"] as const;

export interface Ban {
  readonly type: (typeof BANNED)[number];
  /** A client id or a user's name, letter by letter; an address (`192.0.2.1`, `2001:db8::1`) or network (`192.0.2.0/24`). */
  readonly value: string;
  /** Only there; undefined: in every tenant. An address is the same in all of them. */
  readonly tenant?: string | undefined;
  /** In milliseconds since 1970, exclusive; undefined: it has no end. */
  readonly until: number | undefined;
  /** Why, for the log. The client is not told. */
  readonly why: string | undefined;
}

/** As much as is known of a client. */
export interface Candidate {
  /** Undefined: it is not known yet. */
  readonly tenant?: string | undefined;
  readonly clientId?: string | undefined;
  readonly user?: string | undefined;
  readonly address?: string | undefined;
}

/** What is banned is found by one word of its own. */
type Key = string;

export class Bans {
  readonly #bans = new Map<Key, Ban>();
  /** How many networks there are of each family and prefix length. */
  readonly #lengths = { 4: new Map<number, number>(), 6: new Map<number, number>() };

  /** @throws RangeError as {@link add} does */
  constructor(bans: Iterable<Ban> = []) {
    for (const ban of bans) this.add(ban);
  }

  get size(): number {
    return this.#bans.size;
  }

  /**
   * Puts a ban in the place of one of the same client id, user, address or network.
   *
   * @throws RangeError when the value is not an address or network and has to be
   */
  add(ban: Ban): void {
    const key = banKey(ban);
    if (!this.#bans.has(key)) this.#count(ban, 1);
    this.#bans.set(key, ban);
  }

  /** Lifts the ban of this client id, user, address or network. Returns false when there was none. */
  remove(ban: Pick<Ban, "type" | "value" | "tenant">): boolean {
    if (!this.#bans.delete(banKey(ban))) return false;
    this.#count(ban, -1);
    return true;
  }

  /** The ban that keeps a client out; of several one of its client id first, then of its user, then of its address. */
  find({ tenant, clientId, user, address }: Candidate, now: number): Ban | undefined {
    if (this.#bans.size === 0) return undefined;
    return (
      this.#of("clientId", clientId, tenant, now) ??
      this.#of("user", user, tenant, now) ??
      (address === undefined ? undefined : this.#ofAddress(address, now))
    );
  }

  /** In every tenant, or in this one. */
  #of(type: Ban["type"], value: string | undefined, tenant: string | undefined, now: number): Ban | undefined {
    if (value === undefined) return undefined;
    const everywhere = this.#at(banKey({ type, value }), now);
    return everywhere ?? (tenant === undefined ? undefined : this.#at(banKey({ type, value, tenant }), now));
  }

  #ofAddress(text: string, now: number): Ban | undefined {
    const address = readAddress(text);
    if (!address) return undefined;
    for (const length of this.#lengths[address.family].keys()) {
      const ban = this.#at(networkKey({ ...address, bits: address.bits.slice(0, length) }), now);
      if (ban) return ban;
    }
    return undefined;
  }

  /** A ban that is over is taken out when it is met. */
  #at(key: Key, now: number): Ban | undefined {
    const ban = this.#bans.get(key);
    if (!ban || ban.until === undefined || now < ban.until) return ban;
    this.remove(ban);
    return undefined;
  }

  #count({ type, value }: Pick<Ban, "type" | "value">, by: 1 | -1): void {
    if (type !== "address") return;
    const { family, bits } = networkOf(value);
    const lengths = this.#lengths[family];
    const count = (lengths.get(bits.length) ?? 0) + by;
    if (count > 0) lengths.set(bits.length, count);
    else lengths.delete(bits.length);
  }
}

/**
 * The same for bans of the same client id, user, address or network, however it is written.
 *
 * @throws RangeError when the value is not an address or network and has to be
 */
export function banKey({ type, value, tenant = "" }: Pick<Ban, "type" | "value" | "tenant">): Key {
  return type === "address" ? networkKey(networkOf(value)) : `${tenant}/${type} ${value}`;
}

function networkKey({ family, bits }: Network): Key {
  return `address ${family} ${bits}`;
}

function networkOf(value: string): Network {
  const network = readNetwork(value);
  if (!network) throw new RangeError(`"${value}" is not an address or a network`);
  return network;
}
