/** A link's socket: a connection's driver at one end, an object at the other, frames in order both ways. */

import type { LinkName } from "../../../src/core/connection/effects.ts";
import type { Channel } from "./channel.ts";
import type { Driver } from "./driver.ts";
import type { AnyNode } from "./node.ts";
import { recordsIn, type Route } from "./step.ts";
import type { World } from "./world.ts";

export class Link {
  readonly name: LinkName;
  readonly up: Channel;
  readonly down: Channel;
  /** What the object keeps with the socket while it sleeps. */
  attachment: unknown;
  /** The object's number for the socket in its present incarnation. */
  id: number | undefined;
  pongAt: number | undefined;
  /** When the object learns of its death; Infinity: never, undefined: it is not dead. */
  objectLearnsAt: number | undefined;
  readonly #world: World;
  readonly #driver: Driver;
  readonly #node: AnyNode;
  readonly #up: Route;
  readonly #down: Route;

  constructor(world: World, driver: Driver, name: LinkName, node: AnyNode) {
    this.#world = world;
    this.#driver = driver;
    this.name = name;
    this.#node = node;
    this.#up = { from: driver, to: node, words: recordsIn };
    this.#down = { from: node, to: driver, words: recordsIn };
    this.up = world.channel(this.#up);
    this.down = world.channel(this.#down);
  }

  /** The upgrade travels to the object, and its answer back. */
  open(): void {
    const ask = (): void => {
      const reachable = this.#node.reachable && !this.#driver.barred.has(this.name);
      if (reachable && this.#node.accept(this)) this.#node.out(() => this.#opened());
      else this.#world.push(this.down, () => this.#driver.gone(this), 0, "no link");
    };
    this.#world.push(this.up, ask, 0, "link?");
  }

  #opened(): void {
    this.#world.push(this.down, () => this.#driver.opened(this), 0, "open");
  }

  sendUp(frame: Uint8Array): void {
    this.#world.push(this.up, () => this.#node.message(this, frame), frame.length, frame);
  }

  sendDown(frame: Uint8Array): void {
    this.#world.push(this.down, () => this.#driver.frame(this, frame), frame.length, frame);
  }

  /** The platform answers without waking the object. */
  ping(): void {
    const answer = (): void => {
      if (!this.#node.sockets.has(this)) return;
      this.pongAt = this.#world.now;
      this.#world.push(this.down, () => this.#driver.pong(this), 0, "pong");
    };
    this.#world.push(this.up, answer, 0, "ping");
  }

  /** The Worker closes: what it sent before still arrives. */
  closeAtWorker(): void {
    this.#world.push(this.up, () => this.#node.gone(this), 0, "close");
  }

  /** The object closes: what it sent before still arrives. */
  closeAtObject(): void {
    this.#world.push(this.down, () => this.#driver.gone(this), 0, "close");
  }

  /** The link breaks: both ends see a close, and what was on its way is lost, unless `loseSent` is false. */
  drop({ loseSent = true }: { readonly loseSent?: boolean } = {}): void {
    this.#world.tell(this.#driver, this.#node, "link breaks");
    if (loseSent) this.cut();
    else this.closeAtWorker();
    this.closeAtObject();
  }

  /** As {@link drop}, but the Worker's end is not told. */
  cut(): void {
    this.up.lose();
    this.down.lose();
    this.closeAtWorker();
  }

  /**
   * The link is dead: nothing arrives any more, neither way, no close either. Each end learns of that after so many ms;
   * undefined: never.
   */
  die(learn: { readonly worker?: number; readonly object?: number } = {}): void {
    const world = this.#world;
    world.tell(this.#driver, this.#node, "link is dead");
    this.up.dead = true;
    this.down.dead = true;
    const { worker, object = Infinity } = learn;
    this.objectLearnsAt = Math.min(this.objectLearnsAt ?? Infinity, world.now + object);
    const [up, down] = [world.channel(this.#up), world.channel(this.#down)];
    if (worker !== undefined) world.push(down, () => this.#driver.gone(this), 0, "close", worker);
    if (object !== Infinity) world.push(up, () => this.#node.gone(this), 0, "close", object);
  }
}
