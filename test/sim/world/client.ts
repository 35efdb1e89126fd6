/** A scripted MQTT client: it says what a test tells it to, and keeps what it is told. */

import mqttPacket, { type IConnectPacket, type Packet } from "mqtt-packet";
import type { Channel } from "./channel.ts";
import type { Driver } from "./driver.ts";
import { packetsIn, type Party, PLATFORM } from "./step.ts";
import type { World } from "./world.ts";

/** A packet as mqtt-packet reads it, with the fields that tests look at. */
export interface Received {
  readonly cmd: string;
  readonly messageId?: number;
  readonly reasonCode?: number;
  readonly returnCode?: number;
  readonly sessionPresent?: boolean;
  readonly granted?: number[];
  readonly topic?: string;
  readonly payload?: Buffer;
  readonly qos?: 0 | 1 | 2;
  readonly retain?: boolean;
  readonly dup?: boolean;
  readonly properties?: Record<string, unknown>;
}

export type Version = 3 | 4 | 5;

export class Client implements Party {
  readonly id: string;
  readonly version: Version;
  readonly world: World;
  /** The connection at the other end of the socket. */
  readonly driver: Driver;
  readonly up: Channel;
  readonly down: Channel;
  readonly received: Received[] = [];
  /** Every PUBLISH is acknowledged when it arrives, and every PUBREL answered. */
  acknowledges = true;
  /** Every PUBREC is answered when it arrives. */
  releases = true;
  /** Packet ids of PUBLISH packets that it has not acknowledged, or not completed at QoS 2. */
  readonly unacknowledged = new Set<number>();
  /** Packet ids that came again before it had acknowledged them. */
  readonly reused: number[] = [];
  /** The close code of the socket, 1006 for a cut; undefined while it is open. */
  closed: number | undefined;
  readonly #parser: mqttPacket.Parser;
  #packetId = 0;

  constructor(world: World, driver: Driver, id: string, version: Version) {
    this.world = world;
    this.driver = driver;
    this.id = id;
    this.version = version;
    this.up = world.channel({ from: this, to: driver, words: packetsIn });
    this.down = world.channel({ from: driver, to: this, words: packetsIn });
    this.#parser = mqttPacket.parser({ protocolVersion: version });
    this.#parser.on("packet", (packet: Packet) => this.#on(packet as Received));
    this.#parser.on("error", (error: Error) => {
      throw error;
    });
  }

  get party(): string {
    return `client ${this.id}`;
  }

  connect(options: Partial<IConnectPacket> = {}): void {
    const protocolId = this.version === 3 ? "MQIsdp" : "MQTT";
    const packet = {
      cmd: "connect",
      clientId: this.id,
      clean: true,
      keepalive: 0,
      protocolId,
      protocolVersion: this.version,
    };
    this.send({ ...packet, ...options } as Packet);
  }

  send(packet: Packet | Record<string, unknown>): void {
    this.raw(mqttPacket.generate(packet as Packet, { protocolVersion: this.version }));
  }

  raw(bytes: Uint8Array): void {
    const copy = new Uint8Array(bytes);
    this.world.push(this.up, () => this.driver.bytes(copy), copy.length, copy);
  }

  /** Returns the packet id. */
  publish(topic: string, payload: string, options: Record<string, unknown> = {}): number {
    const qos = (options["qos"] as number | undefined) ?? 0;
    const messageId = qos > 0 ? this.nextId() : 0;
    this.send({ cmd: "publish", topic, payload, qos, messageId, retain: false, dup: false, ...options });
    return messageId;
  }

  subscribe(
    filters: string | (Record<string, unknown> & { topic: string })[],
    qos = 1,
    properties?: Record<string, unknown>,
  ): number {
    const messageId = this.nextId();
    const defaults = this.version === 5 ? { qos, nl: false, rap: false, rh: 0 } : { qos };
    const subscriptions =
      typeof filters === "string" ? [{ topic: filters, ...defaults }] : filters.map((f) => ({ ...defaults, ...f }));
    this.send({ cmd: "subscribe", messageId, subscriptions, ...(properties && { properties }) });
    return messageId;
  }

  unsubscribe(...filters: string[]): number {
    const messageId = this.nextId();
    this.send({ cmd: "unsubscribe", messageId, unsubscriptions: filters });
    return messageId;
  }

  puback(messageId: number): void {
    this.unacknowledged.delete(messageId);
    this.send({ cmd: "puback", messageId });
  }

  pubcomp(messageId: number): void {
    this.unacknowledged.delete(messageId);
    this.send({ cmd: "pubcomp", messageId });
  }

  nextId(): number {
    return ++this.#packetId;
  }

  /** The network between the client and its Worker fails. */
  cut(): void {
    if (this.closed !== undefined) return;
    this.up.lose();
    this.down.lose();
    this.closed = 1006;
    this.world.tell({ party: PLATFORM }, this, "cut");
    this.world.push(this.up, () => this.driver.closed(), 0, "close 1006");
  }

  // What tests ask about.

  all(cmd: string): Received[] {
    return this.received.filter((packet) => packet.cmd === cmd);
  }

  last(cmd: string): Received | undefined {
    return this.all(cmd).at(-1);
  }

  /** Payloads of the PUBLISH packets that arrived, in order. */
  get payloads(): string[] {
    return this.all("publish").map(({ payload }) => payload!.toString());
  }

  /** Packet ids of PUBACKs that arrived. */
  get acknowledged(): number[] {
    return this.all("puback").map(({ messageId }) => messageId!);
  }

  /** Packet ids of PUBCOMPs that arrived. */
  get completed(): number[] {
    return this.all("pubcomp").map(({ messageId }) => messageId!);
  }

  // What the Worker sends.

  deliver(bytes: Uint8Array): void {
    if (this.closed === undefined) this.#parser.parse(Buffer.from(bytes));
  }

  close(code: number): void {
    if (this.closed !== undefined) return;
    this.closed = code;
    this.up.lose();
    this.world.push(this.up, () => this.driver.closed(), 0, "closed");
  }

  #on(packet: Received): void {
    // The parser reuses its object.
    this.received.push({ ...packet });
    const messageId = packet.messageId!;
    if (packet.cmd === "publish" && packet.qos! > 0) {
      if (this.unacknowledged.has(messageId)) this.reused.push(messageId);
      this.unacknowledged.add(messageId);
      if (!this.acknowledges) return;
      if (packet.qos === 1) this.puback(messageId);
      else this.send({ cmd: "pubrec", messageId });
    } else if (packet.cmd === "pubrel" && this.acknowledges) {
      this.pubcomp(messageId);
    } else if (packet.cmd === "pubrec" && this.releases && (packet.reasonCode ?? 0) < 0x80) {
      this.send({ cmd: "pubrel", messageId });
    }
  }
}
