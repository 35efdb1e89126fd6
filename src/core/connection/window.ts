/**
 * Who may deliver how much? Several shards deliver to one client, whose Receive Maximum bounds the sum. The connection
 * hands every shard a count of *grants*, each good for one delivery:
 *
 *     granted (unused at the shards) + outstanding (unacknowledged by the client) ≤ size
 *
 * A shard keeps an even share while all are quiet. A shard that has run dry says that it is hungry: it gets what is
 * free, then what acknowledgements free, in turn with the other hungry ones; grants that lie idle elsewhere are
 * recalled. So a Receive Maximum of 1 over many shards still serves all of them.
 */

/** A change that has to be told to a shard. */
export interface WindowChange {
  readonly shard: number;
  /** Grants given to it. */
  readonly grant: number;
  /** Grants asked back from it. */
  readonly recall: number;
}

interface Share {
  /** There is a link that grants can travel on. */
  open: boolean;
  granted: number;
  outstanding: number;
  /** Grants asked back and not answered. */
  recalled: number;
}

export class Window {
  readonly #size: number;
  readonly #evenShare: number;
  readonly #grantsMax: number;
  readonly #shares = new Map<number, Share>();
  readonly #hungry: number[] = [];

  /**
   * @param size the smaller of the client's Receive Maximum and our own limit, at least 1
   * @param shards how many shards share it
   */
  constructor(size: number, shards: number) {
    this.#size = size;
    // A shard's slice of the packet ids bounds what it can use.
    this.#grantsMax = Math.floor(65_535 / shards);
    this.#evenShare = Math.min(Math.floor(size / shards), this.#grantsMax);
  }

  /** Deliveries that the client has not acknowledged. */
  get outstanding(): number {
    return this.#sum("outstanding");
  }

  /** Grants for the hello of a link that has just opened; those of an earlier link died with it. */
  open(shard: number): number {
    const share = this.#share(shard);
    this.#forget(shard);
    share.open = true;
    share.granted = Math.max(0, Math.min(this.#evenShare - share.outstanding, this.#free));
    return share.granted;
  }

  /** The link is gone, and its unused grants with it. What the client holds stays outstanding. */
  close(shard: number): WindowChange[] {
    this.#forget(shard);
    this.#share(shard).open = false;
    return this.#feed();
  }

  /** The shard used grants for deliveries that were written to the client. */
  delivered(shard: number, count: number): void {
    const share = this.#share(shard);
    share.granted -= count;
    share.outstanding += count;
  }

  /** The client finished a delivery of this shard: the grant goes to who is hungry, else back to the shard. */
  acknowledged(shard: number): WindowChange[] {
    const share = this.#share(shard);
    share.outstanding -= 1;
    if (this.#hungry.length > 0) return this.#feed();
    if (!share.open || share.granted + share.outstanding >= this.#evenShare) return [];
    share.granted += 1;
    return [{ shard, grant: 1, recall: 0 }];
  }

  /** The shard has something to deliver and no grant left. */
  hungry(shard: number): WindowChange[] {
    if (!this.#hungry.includes(shard)) this.#hungry.push(shard);
    return this.#feed();
  }

  /** The shard gave back grants that were recalled; 0 when it had used them meanwhile. */
  returned(shard: number, count: number): WindowChange[] {
    const share = this.#share(shard);
    share.granted -= count;
    share.recalled = 0;
    return this.#feed();
  }

  get #free(): number {
    return this.#size - this.#sum("granted") - this.#sum("outstanding");
  }

  #feed(): WindowChange[] {
    const changes: WindowChange[] = [];
    let free = this.#free;
    while (free > 0 && this.#hungry.length > 0) {
      const shard = this.#hungry.shift()!;
      const share = this.#share(shard);
      const others = this.#hungry.length;
      const grant = Math.min(
        Math.max(1, Math.floor(free / (others + 1))),
        this.#grantsMax - share.outstanding - share.granted,
      );
      if (grant <= 0) continue;
      share.granted += grant;
      free -= grant;
      changes.push({ shard, grant, recall: 0 });
    }
    const recall = this.#hungry.length > 0 ? this.#recall() : undefined;
    if (recall) changes.push(recall);
    return changes;
  }

  /** Asks the shard with the most idle grants for half of them, unless one is asked already. */
  #recall(): WindowChange | undefined {
    let richest: number | undefined;
    let most = 0;
    for (const [shard, share] of this.#shares) {
      if (share.recalled > 0) return undefined;
      if (share.granted > most && !this.#hungry.includes(shard)) {
        richest = shard;
        most = share.granted;
      }
    }
    if (richest === undefined) return undefined;
    const recall = Math.ceil(most / 2);
    this.#share(richest).recalled = recall;
    return { shard: richest, grant: 0, recall };
  }

  #forget(shard: number): void {
    const share = this.#share(shard);
    share.granted = 0;
    share.recalled = 0;
    const place = this.#hungry.indexOf(shard);
    if (place >= 0) this.#hungry.splice(place, 1);
  }

  #share(shard: number): Share {
    let share = this.#shares.get(shard);
    if (!share) {
      share = { open: false, granted: 0, outstanding: 0, recalled: 0 };
      this.#shares.set(shard, share);
    }
    return share;
  }

  #sum(what: "granted" | "outstanding"): number {
    let sum = 0;
    for (const share of this.#shares.values()) sum += share[what];
    return sum;
  }
}
