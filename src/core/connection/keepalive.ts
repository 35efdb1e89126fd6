/**
 * When is a silent client gone? After one and a half times the keep alive in effect, without a complete control packet
 * [MQTT-3.1.2-22]. Zero means never.
 */
export class Keepalive {
  readonly #silenceMs: number;
  #lastPacketAt: number;

  constructor(seconds: number, now: number) {
    this.#silenceMs = seconds * 1500;
    this.#lastPacketAt = now;
  }

  packet(now: number): void {
    this.#lastPacketAt = now;
  }

  get deadline(): number | undefined {
    return this.#silenceMs === 0 ? undefined : this.#lastPacketAt + this.#silenceMs;
  }

  expired(now: number): boolean {
    return this.#silenceMs > 0 && now >= this.#lastPacketAt + this.#silenceMs;
  }
}

/** The keep alive in effect: the client's, or the server's own where that is set and shorter [MQTT-3.1.2-21]. */
export function effectiveKeepAlive(wantedSeconds: number, secondsMax: number): number {
  if (secondsMax === 0) return wantedSeconds;
  return wantedSeconds === 0 ? secondsMax : Math.min(wantedSeconds, secondsMax);
}
