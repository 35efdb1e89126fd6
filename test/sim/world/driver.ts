/** One connection in its Worker, driven as `src/edge/driver.ts` drives it. */

import { Connection } from "../../../src/core/connection/connection.ts";
import type { Effect, LinkName } from "../../../src/core/connection/effects.ts";
import type { Answer, Question } from "../../../src/core/authentication/asking.ts";
import type { Reason } from "../../../src/mqtt/reason.ts";
import type { Client } from "./client.ts";
import type { Link } from "./link.ts";
import type { Party } from "./step.ts";
import { Rank, type Timer } from "./timer.ts";
import type { World } from "./world.ts";

export class Driver implements Party {
  readonly connection: Connection;
  readonly worker: string;
  readonly links = new Map<LinkName, Link>();
  readonly reports: { reason: Reason; detail: string }[] = [];
  /** What it says was dropped. */
  readonly lost: { qos0: number; refused: number }[] = [];
  /** What it was not allowed to do, in words. */
  readonly denied: string[] = [];
  /** Why it was not allowed to do what nobody could say whether it may. */
  readonly undecided: string[] = [];
  /** Links that do not open. */
  readonly barred = new Set<LinkName>();
  client!: Client;
  done = false;
  readonly #world: World;
  readonly #timer: Timer;
  #party: string | undefined;

  constructor(world: World, worker: string) {
    this.#world = world;
    this.worker = worker;
    this.connection = new Connection(
      {
        limits: world.limits,
        settings: world.settings,
        access: world.reception,
        arrival: world.arrival,
        door: world.door,
        placement: world.placement,
        tenant: world.tenant,
        linkVersions: world.deploys.of(worker),
        connectionId: `auto-${world.clients.length}`,
        random: world.random,
        bufferedBytes: () => (this.client.down.held ? this.client.down.bytes : 0),
      },
      world.now,
    );
    this.#timer = world.timer(Rank.connection + world.clients.length, this, "timer", () => this.tick());
    this.#arm();
  }

  /** The n-th connection of its client. */
  get party(): string {
    return (this.#party ??= `connection ${this.client.id}.${this.#number}`);
  }

  get #number(): number {
    return this.#world.clients.filter(({ id }) => id === this.client.id).indexOf(this.client) + 1;
  }

  get deadline(): number | undefined {
    return this.done ? undefined : this.connection.deadline;
  }

  bytes(chunk: Uint8Array): void {
    if (!this.done) this.#perform(this.connection.bytes(chunk, this.#world.now));
  }

  textFrame(): void {
    this.#perform(this.connection.textFrame(this.#world.now));
  }

  closed(): void {
    if (!this.done) this.#perform(this.connection.clientClosed(this.#world.now));
  }

  tick(): void {
    this.#perform(this.connection.tick(this.#world.now));
  }

  /** The Worker is gone, and everything that it held. Without a close the objects do not learn of it by themselves. */
  kill({ closes = true }: { readonly closes?: boolean } = {}): void {
    this.done = true;
    for (const link of this.links.values()) {
      if (closes) link.cut();
      else link.die();
    }
    this.links.clear();
    this.client.cut();
    this.#arm();
  }

  // What the links bring.

  opened(link: Link): void {
    if (this.links.get(link.name) !== link) link.closeAtWorker();
    else this.#perform(this.connection.linkOpened(link.name, this.#world.now));
  }

  frame(link: Link, frame: Uint8Array): void {
    if (this.links.get(link.name) !== link) return;
    this.#perform(this.connection.linkFrame(link.name, frame, this.#world.now));
  }

  pong(link: Link): void {
    if (this.links.get(link.name) === link) this.connection.linkPong(link.name, this.#world.now);
    this.#arm();
  }

  gone(link: Link): void {
    if (this.links.get(link.name) !== link) return;
    this.#closeLink(link.name);
    this.#perform(this.connection.linkClosed(link.name, this.#world.now));
  }

  #perform(effects: readonly Effect[]): void {
    const questions: Question[] = [];
    for (const effect of effects) {
      if (effect.type === "ask") questions.push(effect.question);
      else this.#do(effect);
    }
    this.#arm();
    for (const question of questions) this.#ask(question);
  }

  #arm(): void {
    this.#timer.set(this.deadline);
  }

  /** Who answers at once is answered within the step, as in a Worker nothing comes between; others take their time. */
  #ask(question: Question): void {
    const world = this.#world;
    const answer = world.reception.answer(question, world.now);
    if (answer instanceof Promise) throw new Error("in a simulated world questions are answered without promises");
    const take = (): void => this.answered(answer);
    const delayMs = world.answerMs?.(question);
    if (delayMs === undefined) take();
    // In a channel of its own: a later question may be answered earlier.
    else world.push(world.channel(), take, 0, `answer to ${question.type}`, delayMs);
  }

  answered(answer: Answer): void {
    if (!this.done) this.#perform(this.connection.answered(answer, this.#world.now));
  }

  #do(effect: Exclude<Effect, { type: "ask" }>): void {
    const { client } = this;
    switch (effect.type) {
      case "send":
        this.#world.push(client.down, () => client.deliver(effect.bytes), effect.bytes.length, effect.bytes);
        return;
      case "close":
        this.#world.push(client.down, () => client.close(effect.code), 0, `close ${effect.code}`);
        return;
      case "openLink":
        this.#closeLink(effect.link);
        this.links.set(effect.link, this.#world.openLink(this, effect.link));
        return;
      case "sendLink":
        this.links.get(effect.link)?.sendUp(effect.frame);
        return;
      case "pingLink":
        this.links.get(effect.link)?.ping();
        return;
      case "closeLink":
        this.#closeLink(effect.link);
        return;
      case "dropped":
        this.lost.push(effect);
        return;
      case "denied":
        this.denied.push(`${effect.action} ${effect.filter}`);
        return;
      case "undecided":
        this.undecided.push(effect.detail);
        return;
      case "report":
        this.reports.push(effect);
        return;
      case "done":
        this.done = true;
        return;
    }
  }

  #closeLink(name: LinkName): void {
    this.links.get(name)?.closeAtWorker();
    this.links.delete(name);
  }
}
