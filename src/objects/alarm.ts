/**
 * Keeps an object's alarm at the time that its core asks for. Setting an alarm writes a row, so it is set only to move it
 * forward: an alarm that goes off too early does no harm.
 */
export class Alarm {
  readonly #storage: DurableObjectStorage;
  #at: number | null = null;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
  }

  /** Learns which alarm is set; to be awaited before the object takes its first event. */
  async load(): Promise<void> {
    this.#at = await this.#storage.getAlarm();
  }

  /** The alarm went off, or went with everything else that was stored. */
  gone(): void {
    this.#at = null;
  }

  /** Sees to it that an alarm goes off at `at` or before. */
  ensure(at: number | undefined): void {
    if (at === undefined || (this.#at !== null && this.#at <= at)) return;
    this.#at = at;
    void this.#storage.setAlarm(at);
  }
}
