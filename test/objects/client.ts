/**
 * An MQTT client over a WebSocket that never leaves the process: what the broker sends is kept in order, and a test waits
 * for what it wants to see. Nothing here waits for time to pass.
 */

import { exports } from "cloudflare:workers";
import mqtt, { type IConnectPacket, type IPublishPacket, type ISubscription, type Packet } from "mqtt-packet";

type Command = Packet["cmd"];
type PacketOf<C extends Command> = Extract<Packet, { cmd: C }>;

export interface Options extends Partial<Omit<IConnectPacket, "cmd">> {
  readonly clientId: string;
  /** Acknowledge deliveries as they come; otherwise the test does it. */
  readonly acknowledges?: boolean;
}

const { default: worker } = exports as unknown as { default: Fetcher };

export class Client {
  readonly id: string;
  /** Everything that the broker sent, in order. */
  readonly packets: Packet[] = [];
  /** How the socket was closed, once it is. */
  closed: { readonly code: number } | undefined;
  readonly #socket: WebSocket;
  readonly #version: 4 | 5;
  readonly #acknowledges: boolean;
  readonly #parser: mqtt.Parser;
  readonly #taken = new Set<Packet>();
  readonly #waiting = new Set<() => void>();
  #packetId = 0;
  #cut = false;

  static async connect({ acknowledges = true, ...connect }: Options): Promise<Client> {
    const client = await Client.open(
      connect.clientId,
      (connect.protocolVersion as 4 | 5 | undefined) ?? 5,
      acknowledges,
    );
    client.send({ cmd: "connect", protocolId: "MQTT", protocolVersion: 5, clean: true, keepalive: 0, ...connect });
    const connack = await client.take("connack");
    if ((connack.reasonCode ?? connack.returnCode) !== 0) throw new Error(`refused: ${JSON.stringify(connack)}`);
    return client;
  }

  /** A socket on which nothing was said yet. */
  static async open(id: string, version: 4 | 5, acknowledges: boolean): Promise<Client> {
    const headers = { Upgrade: "websocket", "Sec-WebSocket-Protocol": "mqtt" };
    const { webSocket } = await worker.fetch("https://broker.example/mqtt", { headers });
    return new Client(id, webSocket!, version, acknowledges);
  }

  private constructor(id: string, socket: WebSocket, version: 4 | 5, acknowledges: boolean) {
    this.id = id;
    this.#socket = socket;
    this.#version = version;
    this.#acknowledges = acknowledges;
    this.#parser = mqtt.parser({ protocolVersion: version });
    this.#parser.on("packet", (packet) => this.#received(packet));
    this.#parser.on("error", (error) => {
      throw error;
    });
    clients.add(this);
    socket.binaryType = "arraybuffer";
    socket.accept();
    socket.addEventListener("message", ({ data }) => {
      this.#parser.parse(Buffer.from(data as ArrayBuffer));
    });
    socket.addEventListener("close", ({ code }) => {
      this.closed = { code };
      this.#wake();
    });
  }

  /** Sends packets as one frame. */
  send(...packets: Packet[]): void {
    this.#socket.send(
      Buffer.concat(packets.map((packet) => mqtt.generate(packet, { protocolVersion: this.#version }))),
    );
  }

  /** The next packet of a kind that was not taken before. */
  async take<C extends Command>(
    command: C,
    wanted: (packet: PacketOf<C>) => boolean = () => true,
  ): Promise<PacketOf<C>> {
    const find = (): PacketOf<C> | undefined =>
      this.packets.find(
        (packet): packet is PacketOf<C> =>
          packet.cmd === command && !this.#taken.has(packet) && wanted(packet as PacketOf<C>),
      );
    await this.#until(`a ${command}`, () => find() !== undefined);
    const packet = find()!;
    this.#taken.add(packet);
    return packet;
  }

  /** Sends an empty exchange: what the broker had to say before its answer is here when this resolves. */
  async ping(): Promise<void> {
    this.send({ cmd: "pingreq" });
    await this.take("pingresp");
  }

  async subscribe(...subscriptions: (Partial<ISubscription> & { topic: string })[]): Promise<readonly number[]> {
    const messageId = this.nextPacketId();
    this.send({ cmd: "subscribe", messageId, subscriptions: subscriptions.map((wanted) => ({ qos: 1, ...wanted })) });
    const suback = await this.take("suback", (packet) => packet.messageId === messageId);
    return suback.granted as number[];
  }

  /** A PUBLISH to be sent; QoS 1 unless said otherwise. */
  message(topic: string, payload: string, more: Partial<IPublishPacket> = {}): IPublishPacket {
    const qos = more.qos ?? 1;
    return {
      cmd: "publish",
      topic,
      payload,
      qos,
      dup: false,
      retain: false,
      ...(qos > 0 && { messageId: this.nextPacketId() }),
      ...more,
    };
  }

  /** Publishes and, above QoS 0, waits for the end of the exchange. */
  async publish(topic: string, payload: string, more: Partial<IPublishPacket> = {}): Promise<void> {
    const message = this.message(topic, payload, more);
    this.send(message);
    if (message.qos === 1) await this.acknowledgement(message);
    if (message.qos === 2) await this.completion(message);
  }

  async acknowledgement({ messageId }: IPublishPacket): Promise<void> {
    const { reasonCode = 0 } = await this.take("puback", (packet) => packet.messageId === messageId);
    if (reasonCode >= 0x80) throw new Error(`publish ${messageId} was refused with ${reasonCode}`);
  }

  /** Goes through the exchange of a QoS 2 message that was sent. */
  async completion(message: IPublishPacket): Promise<void> {
    await this.reception(message);
    this.send({ cmd: "pubrel", messageId: message.messageId! });
    await this.take("pubcomp", (packet) => packet.messageId === message.messageId);
  }

  async reception({ messageId }: IPublishPacket): Promise<void> {
    const { reasonCode = 0 } = await this.take("pubrec", (packet) => packet.messageId === messageId);
    if (reasonCode >= 0x80) throw new Error(`publish ${messageId} was refused with ${reasonCode}`);
  }

  acknowledge({ messageId, qos }: IPublishPacket): void {
    this.send({ cmd: qos === 2 ? "pubrec" : "puback", messageId: messageId! });
  }

  nextPacketId(): number {
    this.#packetId = (this.#packetId % 65_535) + 1;
    return this.#packetId;
  }

  /** Every delivery so far. */
  get deliveries(): IPublishPacket[] {
    return this.packets.filter((packet) => packet.cmd === "publish");
  }

  /** The payloads of the deliveries so far, of one topic or of all. */
  payloads(topic?: string): string[] {
    return this.deliveries
      .filter((delivery) => topic === undefined || delivery.topic === topic)
      .map((delivery) => String(delivery.payload));
  }

  /** Waits until the deliveries so far satisfy a condition. */
  async delivered(condition: (payloads: string[]) => boolean): Promise<void> {
    await this.#until("deliveries", () => condition(this.payloads()));
  }

  /** Says goodbye, and waits until the broker has closed. */
  async disconnect(): Promise<void> {
    this.send({ cmd: "disconnect" } as Packet);
    await this.ended();
  }

  /** Says goodbye and closes its end of the socket, and waits for nothing. */
  leave(): void {
    this.send({ cmd: "disconnect" } as Packet);
    this.#socket.close(1000);
  }

  /** Goes without a goodbye. */
  cut(): void {
    this.#cut = true;
    if (!this.closed) this.#socket.close(3000, "cut");
  }

  /** Waits until the socket is closed. */
  async ended(): Promise<number> {
    while (!this.closed) await new Promise<void>((resolve) => this.#waiting.add(resolve));
    return this.closed.code;
  }

  async #until(what: string, condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.closed) throw new Error(`${this.id} waits for ${what} on a socket closed with ${this.closed.code}`);
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  #received(packet: Packet): void {
    this.packets.push(packet);
    if (this.#acknowledges && !this.#cut) {
      if (packet.cmd === "publish" && packet.qos > 0) this.acknowledge(packet);
      if (packet.cmd === "pubrel") this.send({ cmd: "pubcomp", messageId: packet.messageId! });
    }
    this.#wake();
  }

  #wake(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const resolve of waiting) resolve();
  }
}

const clients = new Set<Client>();

/** Ends every client that a test left behind. */
export async function endClients(): Promise<void> {
  const left = [...clients];
  clients.clear();
  for (const client of left) client.cut();
  await Promise.all(left.map((client) => client.ended()));
}
