/**
 * Memory for the packets of one turn. An array of its own for each packet costs more than encoding it, and the packets
 * are copied into frames before the turn ends; so they are cut from slabs that the next turn uses again.
 */

const SLAB_BYTES = 64 * 1024;
/** Slabs kept from turn to turn; what a large turn needed beyond them is let go. */
const SLABS_KEPT = 4;

export class Arena {
  #slabs: Uint8Array[] = [new Uint8Array(SLAB_BYTES)];
  #slab = 0;
  #position = 0;

  /** Bytes to be filled by the caller, theirs until {@link reset}. */
  take(length: number): Uint8Array {
    if (length > SLAB_BYTES) return new Uint8Array(length);
    if (this.#position + length > SLAB_BYTES) {
      this.#slab += 1;
      this.#position = 0;
      if (this.#slab === this.#slabs.length) this.#slabs.push(new Uint8Array(SLAB_BYTES));
    }
    const at = this.#position;
    this.#position += length;
    return this.#slabs[this.#slab]!.subarray(at, at + length);
  }

  /** A copy of bytes, for someone who changes them. */
  copy(bytes: Uint8Array): Uint8Array {
    const copied = this.take(bytes.length);
    copied.set(bytes);
    return copied;
  }

  /** The turn is over: everything that was taken is free again. */
  reset(): void {
    if (this.#slabs.length > SLABS_KEPT) this.#slabs.length = SLABS_KEPT;
    this.#slab = 0;
    this.#position = 0;
  }
}
