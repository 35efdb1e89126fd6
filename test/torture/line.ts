/** One connection of a client to the broker: packets in both directions, until it closes. */
import mqttPacket, { type Packet } from "mqtt-packet";
import type { Broker } from "../../scripts/broker.ts";
import { openWire, type Transport, type Wire } from "../broker/support/wire.ts";

/** Where a broker can be reached. */
export type Address = Pick<Broker, "wsUrl" | "tcpPort">;

export interface LineEvents {
  packet(packet: Packet): void;
  /** Once, and nothing after it. */
  closed(detail: string): void;
}

export class Line {
  readonly #version: 4 | 5;
  #events: LineEvents;
  #wire: Wire | undefined;
  #isClosed = false;

  private constructor(version: 4 | 5, events: LineEvents) {
    this.#version = version;
    this.#events = events;
  }

  static async open(address: Address, transport: Transport, version: 4 | 5, events: LineEvents): Promise<Line> {
    const line = new Line(version, events);
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

  /** Ends the socket in an orderly way. */
  end(): void {
    this.#wire?.end();
  }

  /** Reports the end of the socket, and no packet any more. */
  whenClosed(closed: () => void): void {
    this.#events = { packet: () => {}, closed };
  }

  /** Drops the socket without a word; nothing of it is reported any more, not even this. */
  cut(): void {
    this.#isClosed = true;
    this.#wire?.cut();
  }

  /** Reports nothing any more, and leaves the socket open. */
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
