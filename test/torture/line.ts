/** One connection of a client to the broker over a real socket: packets in both directions, until it closes. */
import mqttPacket, { type Packet } from "mqtt-packet";
import type { Broker } from "../../scripts/broker.ts";
import { openWire, type Transport, type Wire } from "../broker/support/wire.ts";
import type { Line, LineEvents } from "../trial/site.ts";

/** Where a broker can be reached. */
export type Address = Pick<Broker, "wsUrl" | "tcpPort">;

export class SocketLine implements Line {
  readonly #version: 4 | 5;
  #events: LineEvents;
  #wire: Wire | undefined;
  #isClosed = false;

  private constructor(version: 4 | 5, events: LineEvents) {
    this.#version = version;
    this.#events = events;
  }

  static async open(address: Address, transport: Transport, version: 4 | 5, events: LineEvents): Promise<SocketLine> {
    const line = new SocketLine(version, events);
    const parser = mqttPacket.parser({ protocolVersion: version });
    parser.on("packet", (packet: Packet) => {
      if (!line.#isClosed) line.#events.packet(packet);
    });
    parser.on("error", (error: Error) => {
      line.#close(`unreadable: ${error.message}`);
      line.cut();
    });
    line.#wire = await openWire(address as Broker, transport, {
      bytes: (chunk) => void parser.parse(chunk),
      closed: (code) => line.#close(code === undefined ? "" : String(code)),
    });
    if (line.#isClosed) throw new Error("closed as soon as it was open");
    return line;
  }

  send(packet: Packet): void {
    if (!this.#isClosed) this.#wire!.send(mqttPacket.generate(packet, { protocolVersion: this.#version }));
  }

  raw(bytes: Uint8Array): void {
    if (!this.#isClosed) this.#wire!.send(bytes);
  }

  end(): void {
    this.#wire?.end();
  }

  /** Of TCP nobody can tell how it ended. */
  whenClosed(closed: (inOrder: boolean) => void): void {
    this.#events = { packet: () => {}, closed: (code) => closed(code !== "1006") };
  }

  cut(): void {
    this.#isClosed = true;
    this.#wire?.cut();
  }

  abandon(): void {
    this.#isClosed = true;
  }

  #close(detail: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    // One that never opened is whoever's who opens it.
    if (this.#wire) this.#events.closed(detail);
  }
}
