/**
 * The life of one link, whatever it carries. A broken link is not a broken client: it is opened again, with delays that
 * double from 50 ms to 2 s and are jittered, so that the connections of a restarted object do not all return in one
 * instant. Only an object that stays away is the client's business.
 *
 *     closed ──open──▶ opening ──opened──▶ greeting ──attached──▶ attached
 *                         ▲ │                 │                      │
 *                         │ ▼                 ▼                      ▼
 *                        waiting ◀─────────── broken ────────────────┘
 */

import type { Effect, LinkName } from "./effects.ts";

/** An object that cannot be reached for longer than this is given up. */
export const GIVE_UP_MS = 30_000;
/** From asking for a link until the object's answer to the hello; a longer silence counts as a broken link. */
const ATTACH_MS = 10_000;
/** The ping proves to both ends that the other one is there, and wakes nobody. */
const PING_MS = 240_000;
/** An object that leaves a frame unanswered for so long is pinged at once. */
const SILENCE_MS = 10_000;
/** The platform answers a ping by itself, however busy the object is: without an answer the link is dead. */
const PONG_MS = 20_000;

const DELAY_FIRST_MS = 50;
const DELAY_MAX_MS = 2_000;

export type LinkPhase = "closed" | "waiting" | "opening" | "greeting" | "attached";

export class LinkLife {
  readonly #name: LinkName;
  readonly #random: () => number;
  readonly #effects: Effect[];
  #phase: LinkPhase = "closed";
  /** When the present phase has lasted long enough: retry, time-out or ping. */
  #until: number | undefined;
  #attempts = 0;
  #brokenSince: number | undefined;
  #awaitingPong = false;

  /**
   * @param random uniform in [0, 1)
   * @param effects where this link's effects go
   */
  constructor(name: LinkName, random: () => number, effects: Effect[]) {
    this.#name = name;
    this.#random = random;
    this.#effects = effects;
  }

  get phase(): LinkPhase {
    return this.#phase;
  }

  /** True when frames can be sent: the hello, or anything after it. */
  get usable(): boolean {
    return this.#phase === "greeting" || this.#phase === "attached";
  }

  get deadline(): number | undefined {
    return this.#until;
  }

  /** Opens the link unless it is open or about to be. */
  open(now: number): void {
    if (this.#phase !== "closed") return;
    this.#phase = "opening";
    // An attempt may not outlast the time in which a lost link is waited for at the other end.
    this.#until = Math.min(now + ATTACH_MS, (this.#brokenSince ?? Infinity) + GIVE_UP_MS);
    this.#effects.push({ type: "openLink", link: this.#name });
  }

  /** The socket is there and the hello goes out. Returns false when nobody asked for it any more. */
  opened(): boolean {
    if (this.#phase !== "opening") return false;
    this.#phase = "greeting";
    return true;
  }

  /** The object answered the hello. */
  attached(now: number): void {
    this.#phase = "attached";
    this.#attempts = 0;
    this.#brokenSince = undefined;
    this.#awaitingPong = false;
    this.#until = now + PING_MS;
  }

  /** A frame went out that the object answers. */
  asked(now: number): void {
    if (this.#phase === "attached" && !this.#awaitingPong) this.#until = Math.min(this.#until!, now + SILENCE_MS);
  }

  /** The object answered it, or the platform a ping: the other end is there. */
  heard(now: number): void {
    if (this.#phase !== "attached") return;
    this.#awaitingPong = false;
    this.#until = now + PING_MS;
  }

  /** The link broke and is wanted again. Returns false when it is time to give up. */
  broken(now: number): boolean {
    this.#brokenSince ??= now;
    if (now - this.#brokenSince >= GIVE_UP_MS) {
      this.close();
      return false;
    }
    const delay = Math.min(DELAY_FIRST_MS * 2 ** this.#attempts, DELAY_MAX_MS);
    this.#attempts += 1;
    this.#phase = "waiting";
    this.#until = now + delay * (0.5 + this.#random() / 2);
    return true;
  }

  /** Nobody needs the link any more. */
  close(): void {
    if (this.usable || this.#phase === "opening") this.#effects.push({ type: "closeLink", link: this.#name });
    this.#phase = "closed";
    this.#until = undefined;
    this.#awaitingPong = false;
  }

  /** Does what its deadline asks for. Returns true when the link has to be taken for broken. */
  tick(now: number): boolean {
    if (this.#until === undefined || now < this.#until) return false;
    switch (this.#phase) {
      case "waiting":
        this.#phase = "closed";
        this.open(now);
        return false;
      case "attached":
        if (this.#awaitingPong) return this.#giveUpSocket();
        this.#awaitingPong = true;
        this.#until = now + PONG_MS;
        this.#effects.push({ type: "pingLink", link: this.#name });
        return false;
      case "opening":
      case "greeting":
        return this.#giveUpSocket();
      case "closed":
        return false;
    }
  }

  #giveUpSocket(): true {
    this.#effects.push({ type: "closeLink", link: this.#name });
    return true;
  }
}
