/** A client's socket in the simulated broker: what comes is heard at the instant at which it comes. */

import type { Packet } from "mqtt-packet";
import type { Profile } from "../trial/device.ts";
import type { Line, LineEvents } from "../trial/site.ts";
import { Client } from "./world/client.ts";
import { Driver } from "./world/driver.ts";
import type { World } from "./world/world.ts";

/** What the end of a socket is called that nobody closed. */
const BROKEN = "1006";

export class SimulatedLine extends Client implements Line {
  #events: LineEvents | undefined;
  readonly #connects: () => void;

  /** @param connects called when the client says CONNECT */
  constructor(world: World, { clientId, version }: Profile, worker: string, events: LineEvents, connects: () => void) {
    const driver = new Driver(world, worker);
    super(world, driver, clientId, version);
    this.#events = events;
    this.#connects = connects;
    this.acknowledges = false;
    this.releases = false;
    driver.client = this;
    world.clients.push(this);
  }

  override send(packet: Packet): void {
    if (packet.cmd === "connect") this.#connects();
    super.send(packet);
  }

  override deliver(bytes: Uint8Array): void {
    super.deliver(bytes);
    for (const packet of this.received.splice(0)) this.#events?.packet(packet as Packet);
  }

  /** The broker closes it. */
  override close(code: number): void {
    const isOpen = this.closed === undefined;
    super.close(code);
    if (isOpen) this.#hearEnd(String(code));
  }

  /** The network fails, or the Worker dies. */
  override cut(): void {
    const isOpen = this.closed === undefined;
    super.cut();
    if (isOpen) this.#hearEnd(BROKEN);
  }

  end(): void {
    if (this.closed === undefined) this.world.push(this.up, () => this.driver.closed());
  }

  abandon(): void {
    this.#events = undefined;
  }

  whenClosed(closed: (inOrder: boolean) => void): void {
    this.#events = { packet: () => {}, closed: (code) => closed(code !== BROKEN) };
    if (this.closed !== undefined) this.#hearEnd(String(this.closed));
  }

  #hearEnd(detail: string): void {
    const events = this.#events;
    this.#events = undefined;
    events?.closed(detail);
  }
}
