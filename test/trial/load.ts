/** What the devices do all the time, faults or not: publish, leave and return, subscribe anew, start clean, die. */
import type { Random } from "../support/random.ts";
import type { Part } from "./cast.ts";
import type { Device, End } from "./device.ts";
import { key } from "./payload.ts";
import type { Clock, Timer } from "./site.ts";

/** Time between two bursts of a publisher, on average. */
const BURST_MS = 60;
const ENDS: readonly End[] = ["cut", "end", "disconnect", "disconnect with will"];

export class Load {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #timers = new Set<Timer>();
  #stopped = false;

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  start(part: Part, device: Device): void {
    const { publishes, leaves, diesEveryMs, renewsEveryMs, fickle } = part;
    if (publishes) this.#publish(device, publishes);
    if (leaves) {
      this.#every(leaves.everyMs, (again) => {
        const awayMs = this.#random.of(leaves.awayMs);
        // Now and then 5.0 lets its session end by saying so.
        device.leave(this.#random.of(ENDS), this.#random.chance(0.1));
        this.#after(awayMs, () => {
          device.come();
          again();
        });
      });
    }
    if (diesEveryMs !== undefined) {
      this.#every(diesEveryMs, (again) => {
        if (this.#random.chance(0.2)) device.takeOver();
        else device.lose(this.#random.of(ENDS));
        again();
      });
    }
    if (renewsEveryMs !== undefined) {
      this.#every(renewsEveryMs, (again) => {
        device.renew(this.#random.of(ENDS));
        again();
      });
    }
    if (fickle) {
      this.#every(fickle.everyMs ?? 150, (again) => {
        const filter = this.#random.of(fickle.filters);
        const choice = this.#random.below(3);
        if (choice === 0) device.unwant(filter.filter);
        else if (choice === 1) {
          device.want(filter);
          // It may have it on other terms.
          if (this.#random.chance(0.5)) device.ask(filter.filter);
        } else device.ask((this.#random.chance(0.5) ? filter : (part.profile.filters[0] ?? filter)).filter);
        again();
      });
    }
  }

  /** Nobody starts anything any more. */
  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) timer.cancel();
  }

  #publish(
    device: Device,
    { topics, qos, retain, expirySeconds, everyMs = BURST_MS, burst: most = 3 }: NonNullable<Part["publishes"]>,
  ): void {
    let sent = 0;
    this.#every(everyMs, (again) => {
      for (let burst = 1 + this.#random.below(most); burst > 0; burst--) {
        const retains = this.#random.chance(retain);
        const clears = retains && this.#random.chance(0.1);
        const padding = this.#random.chance(0.02) ? 30_000 : this.#random.chance(0.1) ? 1000 : 0;
        const payload = clears ? "" : key(device.clientId, sent, padding);
        const publish = { topic: this.#random.of(topics), payload, qos: this.#random.of(qos), retain: retains };
        const expires = !retains && expirySeconds !== undefined && this.#random.chance(0.1);
        const expiry = expires && { expirySeconds: this.#random.of(expirySeconds) };
        if (device.publish({ ...publish, ...expiry })) sent += 1;
      }
      again();
    });
  }

  /** @param act calls `again` when it is over, which is when the time to the next one begins */
  #every(averageMs: number, act: (again: () => void) => void): void {
    this.#after(this.#random.next() * 2 * averageMs, () => act(() => this.#every(averageMs, act)));
  }

  #after(delayMs: number, act: () => void): void {
    if (this.#stopped) return;
    const timer = this.#clock.after(delayMs, () => {
      this.#timers.delete(timer);
      if (!this.#stopped) act();
    });
    this.#timers.add(timer);
  }
}
