/** A link's socket: a connection's driver at one end, an object at the other, frames in order both ways. */

import type { LinkName } from "../../../src/core/connection/effects.ts";
import type { Channel } from "./channel.ts";
import type { Driver } from "./driver.ts";
import type { AnyNode } from "./node.ts";
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
  readonly #world: World;
  readonly #driver: Driver;
  readonly #node: AnyNode;

  constructor(world: World, driver: Driver, name: LinkName, node: AnyNode) {
    this.#world = world;
    this.#driver = driver;
    this.name = name;
    this.#node = node;
    this.up = world.channel();
    this.down = world.channel();
  }

  /** The upgrade travels to the object, and its answer back. */
  open(): void {
    this.#world.push(this.up, () => {
      const reachable = this.#node.reachable && !this.#driver.barred.has(this.name);
      if (reachable && this.#node.accept(this)) this.#world.push(this.down, () => this.#driver.opened(this));
      else this.#world.push(this.down, () => this.#driver.gone(this));
    });
  }

  sendUp(frame: Uint8Array): void {
    this.#world.push(this.up, () => this.#node.message(this, frame), frame.length);
  }

  sendDown(frame: Uint8Array): void {
    this.#world.push(this.down, () => this.#driver.frame(this, frame), frame.length);
  }

  /** The platform answers without waking the object. */
  ping(): void {
    this.#world.push(this.up, () => {
      if (!this.#node.sockets.has(this)) return;
      this.pongAt = this.#world.now;
      this.#world.push(this.down, () => this.#driver.pong(this));
    });
  }

  /** The Worker closes: what it sent before still arrives. */
  closeAtWorker(): void {
    this.#world.push(this.up, () => this.#node.gone(this));
  }

  /** The object closes: what it sent before still arrives. */
  closeAtObject(): void {
    this.#world.push(this.down, () => this.#driver.gone(this));
  }

  /** The link breaks: both ends see a close, and what was on its way is lost. */
  drop(): void {
    this.cut();
    this.closeAtObject();
  }

  /** As {@link drop}, but the Worker's end is not told. */
  cut(): void {
    this.up.lose();
    this.down.lose();
    this.closeAtWorker();
  }
}
