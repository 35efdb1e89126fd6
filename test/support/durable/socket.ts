/** A client whose device hears every packet, and the close, at the instant at which it comes, and answers by itself. */

import { Client, type Received, type Version } from "../../sim/world/client.ts";
import { Driver } from "../../sim/world/driver.ts";
import type { World } from "../../sim/world/world.ts";

export interface Ear {
  heard(packet: Received): void;
  closed(code: number): void;
}

export class Socket extends Client {
  readonly #ear: Ear;

  constructor(world: World, ear: Ear, id: string, version: Version, worker: string) {
    const driver = new Driver(world, worker);
    super(world, driver, id, version);
    this.#ear = ear;
    this.acknowledges = false;
    this.releases = false;
    driver.client = this;
    world.clients.push(this);
  }

  override deliver(bytes: Uint8Array): void {
    super.deliver(bytes);
    for (const packet of this.received.splice(0)) this.#ear.heard(packet);
  }

  override close(code: number): void {
    const open = this.closed === undefined;
    super.close(code);
    if (open) this.#ear.closed(code);
  }

  override cut(): void {
    const open = this.closed === undefined;
    super.cut();
    if (open) this.#ear.closed(1006);
  }
}
