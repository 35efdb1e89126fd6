/** What the devices do all the time, faults or not: publish, leave and return, subscribe anew, start clean, die. */
import type { Random } from "../support/random.ts";
import type { Part } from "./cast.ts";
import type { Device, End } from "./device.ts";
import { key } from "./payload.ts";

/** Time between two bursts of a publisher, on average. */
const BURST_MS = 60;
const ENDS: readonly End[] = ["cut", "end", "disconnect", "disconnect with will"];

export class Load {
  readonly #random: Random;
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  #stopped = false;

  constructor(random: Random) {
    this.#random = random;
  }

  start(part: Part, device: Device): void {
    const { publishes, leaves, diesEveryMs, renewsEveryMs, fickle } = part;
    if (publishes) this.#publish(device, publishes);
    if (leaves) {
      this.#every(leaves.everyMs, () => {
        const awayMs = this.#random.of(leaves.awayMs);
        // Now and then 5.0 lets its session end by saying so.
        device.leave(this.#random.of(ENDS), this.#random.chance(0.1));
        return this.#after(awayMs, () => device.come());
      });
    }
    if (diesEveryMs !== undefined) {
      this.#every(diesEveryMs, () => {
        if (this.#random.chance(0.2)) device.takeOver();
        else device.lose(this.#random.of(ENDS));
      });
    }
    if (renewsEveryMs !== undefined) this.#every(renewsEveryMs, () => device.renew(this.#random.of(ENDS)));
    if (fickle) {
      this.#every(150, () => {
        const { filter, qos } = this.#random.of(fickle);
        const choice = this.#random.below(3);
        if (choice === 0) device.want(filter, undefined);
        else if (choice === 1) device.want(filter, qos);
        else device.ask(this.#random.chance(0.5) ? filter : part.profile.filters[0]!.filter);
      });
    }
  }

  /** Nobody starts anything any more. */
  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
  }

  #publish(device: Device, { topics, qos, retain }: NonNullable<Part["publishes"]>): void {
    let sent = 0;
    this.#every(BURST_MS, () => {
      for (let burst = 1 + this.#random.below(3); burst > 0; burst--) {
        const clears = retain && this.#random.chance(0.1);
        const padding = this.#random.chance(0.02) ? 30_000 : this.#random.chance(0.1) ? 1000 : 0;
        const payload = clears ? "" : key(device.clientId, sent, padding);
        if (device.publish({ topic: this.#random.of(topics), payload, qos: this.#random.of(qos), retain })) sent += 1;
      }
    });
  }

  #every(averageMs: number, act: () => Promise<void> | void): void {
    void this.#after(this.#random.next() * 2 * averageMs, async () => {
      await act();
      this.#every(averageMs, act);
    });
  }

  async #after(delayMs: number, act: () => Promise<void> | void): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        resolve();
      }, delayMs);
      this.#timers.add(timer);
    });
    if (!this.#stopped) await act();
  }
}
