/** One connection and nothing around it but {@link Objects}: a script's bytes in, its effects judged. */
import type { Answer, Question } from "../../src/core/authentication/asking.ts";
import { OPEN_RECEPTION } from "../../src/access/reception.ts";
import { Connection } from "../../src/core/connection/connection.ts";
import type { Effect, LinkName } from "../../src/core/connection/effects.ts";
import { DEFAULT_LIMITS, DEFAULT_SETTINGS, type Limits } from "../../src/core/limits.ts";
import { LINK_VERSIONS } from "../../src/link/records.ts";
import { Reason } from "../../src/mqtt/reason.ts";
import { Random } from "../support/random.ts";
import { Find, Judge } from "./judge.ts";
import { Objects } from "./objects.ts";
import { chunksOf, type Habits, type Script, type Step } from "./script.ts";

export const SOLO: Habits = { clients: 1, steps: 80, faults: 0.08, waitMsMax: 40_000 };

const PLACEMENT = { shards: 4, depth: 2 };
/** An input that asks for more effects than this, and its bytes, is not bounded work. */
const EFFECTS_MAX = 200;
/** A pause that asks for more ticks than this spins. */
const TICKS_MAX = 3_000;
/** A connection whose client is gone and whose objects answer is done after this. */
const END_MS = 120_000;

export interface Tally {
  /** Packets that the connection was still taking. */
  packets: number;
  answers: number;
  connections: number;
}

/** @throws Find, or what the core throws */
export function solo(script: Script): Tally {
  // One after the other: what one sends is nothing to the next.
  const clients = new Map<number, Step[]>();
  let present = 0;
  for (const step of script.steps) {
    if ("client" in step) present = step.client;
    const steps = clients.get(present);
    if (steps) steps.push(step);
    else clients.set(present, [step]);
  }
  const tally = { packets: 0, answers: 0, connections: 0 };
  for (const [client, steps] of clients) {
    const one = new Solo(new Random(script.chance * 31 + client));
    one.run(steps);
    tally.packets += one.judge.packets;
    tally.answers += one.judge.answers;
    tally.connections += 1;
  }
  return tally;
}

class Solo {
  readonly judge: Judge;
  readonly #random: Random;
  readonly #objects: Objects;
  readonly #connection: Connection;
  /** What is on its way from the objects. */
  #arriving: { link: LinkName; attempt: number; run: () => readonly Effect[] }[] = [];
  readonly #attempts = new Map<LinkName, number>();
  readonly #open = new Set<LinkName>();
  /** How much arrives after each step. */
  readonly #haste: number;
  #buffered = 0;
  #now = 1_700_000_000_000;
  #done = false;
  /** The client's network has failed; it sees nothing any more. */
  #cut = false;

  constructor(random: Random) {
    this.#random = random;
    this.#haste = random.of([1, 1, 0.5, 0.1, 0]);
    const limits: Limits = {
      ...DEFAULT_LIMITS,
      packetBytesMax: random.of([2048, DEFAULT_LIMITS.packetBytesMax]),
      inflightMax: random.of([2, 1024]),
      receiveMaximum: random.of([3, 256]),
      subscriptionsMax: random.of([4, 10_000]),
    };
    this.judge = new Judge(limits);
    this.#objects = new Objects(random, PLACEMENT, (link, frame) => {
      this.#arrive(link, () => this.#connection.linkFrame(link, frame, this.#now));
    });
    this.#connection = new Connection(
      {
        limits,
        settings: DEFAULT_SETTINGS,
        placement: PLACEMENT,
        tenant: "main",
        linkVersions: LINK_VERSIONS,
        access: OPEN_RECEPTION,
        arrival: { address: undefined, token: undefined, certificate: undefined, tenant: undefined },
        connectionId: "auto-1",
        random: () => random.next(),
        bufferedBytes: () => this.#buffered,
      },
      this.#now,
    );
  }

  run(steps: readonly Step[]): void {
    for (const step of steps) {
      if (this.judge.closed || this.#cut) break;
      this.#step(step);
      this.#now += this.#random.below(3);
      this.#let(this.#haste);
    }
    this.#buffered = 0;
    if (!this.judge.closed && !this.#cut) {
      // Longer than anything in the core waits for objects that answer, and shorter than what it gives up on.
      this.#wait(6_000, 1);
      this.judge.settled();
    }
    this.#cut = true;
    this.#do(this.#connection.clientClosed(this.#now));
    this.#wait(END_MS, 1);
    if (!this.#done) throw new Find("the connection does not end");
    if (this.#connection.deadline !== undefined) throw new Find("a connection that is done has a deadline");
  }

  #step(step: Step): void {
    const connection = this.#connection;
    switch (step.type) {
      case "bytes":
        for (const chunk of chunksOf(step)) {
          if (this.judge.closed) return;
          this.judge.sends(chunk.slice());
          this.#do(connection.bytes(chunk, this.#now), chunk.length);
          if (this.#random.chance(0.2)) this.#let(this.#haste);
        }
        return this.judge.offends(step.offence);
      case "text":
        this.judge.doomed ??= "a text frame";
        return this.#do(connection.textFrame(this.#now));
      case "cut":
        this.#cut = true;
        return;
      case "wait":
        return this.#wait(step.ms, this.#haste);
      case "fault":
        return this.#fault(step.number);
    }
  }

  #fault(number: number): void {
    if (number < 800) {
      this.#objects.stir();
      return;
    }
    if (number < 850) {
      this.#buffered = number % 2 === 0 ? 0 : 1 << 20;
      return;
    }
    const links = [...this.#open];
    const link = links[number % Math.max(1, links.length)];
    if (link !== undefined) this.#break(link);
  }

  #break(link: LinkName): void {
    this.#open.delete(link);
    this.#attempts.set(link, (this.#attempts.get(link) ?? 0) + 1);
    this.#do(this.#connection.linkClosed(link, this.#now));
  }

  #arrive(link: LinkName, run: () => readonly Effect[]): void {
    this.#arriving.push({ link, attempt: this.#attempts.get(link)!, run });
  }

  /** Lets some of what is on its way arrive, and then what is due be done. */
  #let(haste: number): void {
    for (let turns = 0; ; turns++) {
      if (turns > TICKS_MAX) throw new Find("the connection does not come to rest");
      const next = this.#arriving[0];
      if (next && (haste === 1 || this.#random.chance(haste))) {
        this.#arriving.shift();
        if (this.#attempts.get(next.link) === next.attempt) this.#do(next.run());
        continue;
      }
      const { deadline } = this.#connection;
      if (deadline === undefined || deadline > this.#now || this.#done) return;
      this.#do(this.#connection.tick(this.#now));
    }
  }

  #wait(ms: number, haste: number): void {
    const until = this.#now + ms;
    for (let ticks = 0; ; ticks++) {
      if (ticks > TICKS_MAX) throw new Find("the connection ticks and ticks");
      this.#let(haste);
      if (this.#done) return;
      const { deadline } = this.#connection;
      if (deadline === undefined || deadline > until) break;
      this.#now = Math.max(this.#now, Math.ceil(deadline));
    }
    this.#now = until;
    this.#let(haste);
  }

  #do(effects: readonly Effect[], bytes = 0): void {
    if (effects.length > EFFECTS_MAX + bytes) throw new Find(`${effects.length} effects of one input`);
    let question: Question | undefined;
    for (const effect of effects) {
      if (effect.type === "ask") question = effect.question;
      else this.#perform(effect);
    }
    const answer = question && (OPEN_RECEPTION.answer(question, this.#now) as Answer);
    if (answer) this.#do(this.#connection.answered(answer, this.#now), bytes);
  }

  #perform(effect: Exclude<Effect, { type: "ask" }>): void {
    switch (effect.type) {
      case "send":
        if (!this.#cut) this.judge.gets(effect.bytes);
        return;
      case "close":
        this.judge.closed = true;
        return;
      case "openLink": {
        const { link } = effect;
        const attempt = (this.#attempts.get(link) ?? 0) + 1;
        this.#attempts.set(link, attempt);
        this.#open.delete(link);
        // What the object says on the link of before does not come on this one.
        this.#objects.forget(link);
        this.#arrive(link, () => {
          this.#open.add(link);
          return this.#connection.linkOpened(link, this.#now);
        });
        return;
      }
      case "sendLink":
        if (!this.#open.has(effect.link)) throw new Find(`a frame for link ${effect.link}, which is not open`);
        return this.#objects.frame(effect.link, effect.frame, this.#now);
      case "pingLink":
        return this.#connection.linkPong(effect.link, this.#now);
      case "closeLink":
        this.#open.delete(effect.link);
        this.#attempts.set(effect.link, (this.#attempts.get(effect.link) ?? 0) + 1);
        return;
      case "dropped":
        return;
      case "denied":
        if (effect.reason === Reason.QuotaExceeded) return;
        if (!effect.filter.startsWith("$SYS/")) throw new Find(`nobody may ${effect.action} ${effect.filter}`);
        return;
      case "undecided":
        throw new Find(`nobody is asked what a client may: ${effect.detail}`);
      case "report":
        if (effect.reason === Reason.UnspecifiedError) throw new Find(`caught in the core: ${effect.detail}`);
        return;
      case "done":
        this.#done = true;
        return;
    }
  }
}
