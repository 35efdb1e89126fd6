/** Keeps an object's alarm at the time that its core asks for. Setting an alarm writes a row, so it is set only to move it. */
export class Alarm {
  readonly #storage: DurableObjectStorage;
  /** What is stored; undefined when it is not known, null when there is none. */
  #set: number | null | undefined;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
  }

  /** The alarm went off, and so is no longer set. */
  fired(): void {
    this.#set = null;
  }

  /** The alarm went with everything else that was stored. */
  wiped(): void {
    this.#set = null;
  }

  /** An alarm that is set too early does no harm; one that is too late is moved. */
  ensure(at: number | undefined): void {
    if (at === undefined || (typeof this.#set === "number" && this.#set <= at)) return;
    this.#set = at;
    void this.#storage.setAlarm(at);
  }
}
