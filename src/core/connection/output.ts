/** Collects what a client is told together, so that it leaves as one write. */

export class Output {
  #chunks: Uint8Array[] = [];

  push(packet: Uint8Array): void {
    if (packet.length > 0) this.#chunks.push(packet);
  }

  get empty(): boolean {
    return this.#chunks.length === 0;
  }

  /** Everything since the last call as one piece; finished packets of a shard are passed on without a copy. */
  take(): Uint8Array | undefined {
    const chunks = this.#chunks;
    if (chunks.length <= 1) {
      this.#chunks = [];
      return chunks[0];
    }
    let length = 0;
    for (const chunk of chunks) length += chunk.length;
    const joined = new Uint8Array(length);
    let position = 0;
    for (const chunk of chunks) {
      joined.set(chunk, position);
      position += chunk.length;
    }
    this.#chunks = [];
    return joined;
  }
}
