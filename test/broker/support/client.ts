/**
 * An MQTT client that does what the test says and nothing by itself: it acknowledges nothing, answers nothing and sends
 * bytes as they are. It waits for packets, never for time: a wait that takes longer than {@link PATIENCE_MS} fails and
 * tells what came instead.
 */
import mqttPacket, { type IConnackPacket, type IConnectPacket, type IPublishPacket, type Packet } from "mqtt-packet";
import { expect } from "vitest";
import type { Broker } from "../../../scripts/broker.ts";
import { openWebSocket, openWire, type Transport, type Wire } from "./wire.ts";

export const PATIENCE_MS = 15_000;

export type Version = 3 | 4 | 5;
export const VERSIONS: readonly Version[] = [3, 4, 5];
export const versionName = (version: Version): string => ({ 3: "3.1", 4: "3.1.1", 5: "5.0" })[version];

/** A packet, with the bytes that it was. */
export type Received = Packet & { raw: Buffer };
export type Message = IPublishPacket & { payload: Buffer; raw: Buffer };

export interface Filter {
  topic: string;
  qos?: 0 | 1 | 2;
  nl?: boolean;
  rap?: boolean;
  rh?: number;
}

export type Publish = Partial<Omit<IPublishPacket, "cmd">>;
export type Connect = Partial<Omit<IConnectPacket, "cmd">>;

let clients = 0;
const opened = new Set<Client>();

/** Drops every socket that a test left open. */
export function cutAll(): void {
  for (const client of opened) client.cut();
  opened.clear();
}

export class Client {
  readonly version: Version;
  clientId = "";
  readonly #wire: Wire;
  readonly #received: Received[] = [];
  readonly #wakers = new Set<() => void>();
  #chunks: Buffer[] = [];
  #bufferedBytes = 0;
  #wantedBytes = 2;
  #packetId = 0;
  #closed: { readonly code: number | undefined } | undefined;

  private constructor(wire: Wire, version: Version) {
    this.#wire = wire;
    this.version = version;
  }

  /** Opens a socket and sends nothing. */
  static async open(
    broker: Broker,
    transport: Transport = "ws",
    version: Version = 5,
    headers?: Record<string, string>,
  ): Promise<Client> {
    let feed: ReturnType<typeof Client.around> | undefined = undefined;
    const wire = await openWire(
      broker,
      transport,
      { bytes: (chunk) => feed?.bytes(chunk), closed: (code) => feed?.closed(code) },
      headers,
    );
    const around = Client.around(wire, version);
    feed = around;
    return around.client;
  }

  /** Opens a WebSocket of this URL, which may say that it is of another host. */
  static async at(url: string, headers: Record<string, string> = {}, version: Version = 5): Promise<Client> {
    let feed: ReturnType<typeof Client.around> | undefined = undefined;
    const events = {
      bytes: (chunk: Buffer) => feed?.bytes(chunk),
      closed: (code: number | undefined) => feed?.closed(code),
    };
    const { wire } = await openWebSocket(url, events, "mqtt", headers);
    const around = Client.around(wire, version);
    feed = around;
    return around.client;
  }

  /** A client around a socket that the test opened; what happens on it is fed to `bytes` and `closed`. */
  static around(
    wire: Wire,
    version: Version,
  ): { client: Client; bytes: (chunk: Buffer) => void; closed: (code?: number) => void } {
    const client = new Client(wire, version);
    opened.add(client);
    return { client, bytes: (chunk) => client.#bytes(chunk), closed: (code) => client.#onClosed(code) };
  }

  /** Opens a socket and connects, with a client id of its own and a clean start unless the test says otherwise. */
  static async connected(
    broker: Broker,
    transport: Transport = "ws",
    version: Version = 5,
    connect: Connect = {},
  ): Promise<Client> {
    const client = await Client.open(broker, transport, version);
    expect(await client.connect(connect)).toMatchObject(version === 5 ? { reasonCode: 0 } : { returnCode: 0 });
    return client;
  }

  // What is sent.

  sendBytes(...chunks: (Uint8Array | number[])[]): void {
    this.#wire.send(Buffer.concat(chunks.map((chunk) => Buffer.from(chunk))));
  }

  send(...packets: Packet[]): void {
    this.sendBytes(...packets.map((packet) => this.encode(packet)));
  }

  encode(packet: Packet): Buffer {
    return mqttPacket.generate(packet, { protocolVersion: this.version });
  }

  connectPacket(connect: Connect = {}): IConnectPacket {
    this.clientId = connect.clientId ?? `client-${++clients}`;
    return {
      cmd: "connect",
      protocolId: this.version === 3 ? "MQIsdp" : "MQTT",
      protocolVersion: this.version,
      clean: true,
      keepalive: 0,
      ...connect,
      clientId: this.clientId,
    };
  }

  /** Sends CONNECT and resolves with what came back, whatever it says. */
  async connect(connect: Connect = {}): Promise<IConnackPacket> {
    this.send(this.connectPacket(connect));
    return (await this.expectPacket({ cmd: "connack" })) as IConnackPacket & Received;
  }

  /** Sends SUBSCRIBE, at QoS 1 unless told otherwise, and resolves with the codes of its SUBACK; messages may arrive before it and stay to be taken. */
  async subscribe(
    filters: string | Filter | Filter[],
    properties?: { subscriptionIdentifier?: number },
  ): Promise<number[]> {
    const messageId = this.packetId();
    const wanted = typeof filters === "string" ? [{ topic: filters }] : [filters].flat();
    const subscriptions = wanted.map(({ topic, qos = 1, ...options }: Filter) => ({ topic, qos, ...options }));
    this.send({ cmd: "subscribe", messageId, subscriptions, ...(properties && { properties }) });
    const suback = await this.take((packet) => packet.cmd === "suback" && packet.messageId === messageId, "SUBACK");
    return (suback as unknown as { granted: number[] }).granted;
  }

  /** Sends UNSUBSCRIBE and resolves with the codes of its UNSUBACK. */
  async unsubscribe(...filters: string[]): Promise<number[]> {
    const messageId = this.packetId();
    this.send({ cmd: "unsubscribe", messageId, unsubscriptions: filters });
    const unsuback = await this.take(
      (packet) => packet.cmd === "unsuback" && packet.messageId === messageId,
      "UNSUBACK",
    );
    return (unsuback as unknown as { granted: number[] }).granted;
  }

  publishPacket(topic: string, payload: string | Buffer, publish: Publish = {}): IPublishPacket {
    const qos = publish.qos ?? 0;
    return {
      cmd: "publish",
      topic,
      payload,
      dup: false,
      retain: false,
      ...(qos > 0 && { messageId: this.packetId() }),
      ...publish,
      qos,
    };
  }

  /** Publishes; resolves with the reason code of the PUBACK, or at QoS 2 of the packet that ended the exchange. */
  async publish(topic: string, payload: string | Buffer, publish: Publish = {}): Promise<number> {
    const packet = this.publishPacket(topic, payload, publish);
    this.send(packet);
    if (packet.qos === 0) return 0;
    const messageId = packet.messageId!;
    if (packet.qos === 1) return this.#answer("puback", messageId);
    const reason = await this.#answer("pubrec", messageId);
    if (reason >= 0x80) return reason;
    this.send({ cmd: "pubrel", messageId });
    return this.#answer("pubcomp", messageId);
  }

  /** Takes an acknowledgement and resolves with its reason code. */
  async #answer(cmd: "puback" | "pubrec" | "pubrel" | "pubcomp", messageId: number): Promise<number> {
    const answer = await this.take((packet) => packet.cmd === cmd && packet.messageId === messageId, cmd.toUpperCase());
    return (answer as { reasonCode?: number }).reasonCode ?? 0;
  }

  /** A packet id that this client has not used lately. */
  packetId(): number {
    this.#packetId = (this.#packetId % 65_535) + 1;
    return this.#packetId;
  }

  /** Acknowledges a message; resolves when nothing more is to be said about it. */
  async acknowledge({ qos, messageId }: Message): Promise<void> {
    if (qos === 1) this.send({ cmd: "puback", messageId: messageId! });
    if (qos < 2) return;
    this.send({ cmd: "pubrec", messageId: messageId! });
    expect(await this.#answer("pubrel", messageId!)).toBe(0);
    this.send({ cmd: "pubcomp", messageId: messageId! });
  }

  end(): void {
    this.#wire.end();
  }

  cut(): void {
    this.#wire.cut();
  }

  pause(): void {
    this.#wire.pause();
  }

  resume(): void {
    this.#wire.resume();
  }

  // What is expected.

  get isClosed(): boolean {
    return this.#closed !== undefined;
  }

  /** The next packet, whatever it is. */
  next(what = "a packet"): Promise<Received> {
    return this.take(() => true, what);
  }

  /** The next packet has to be like this. */
  async expectPacket(like: Partial<Packet> & Record<string, unknown>): Promise<Received> {
    const packet = await this.next(JSON.stringify(like));
    expect(packet).toMatchObject(like);
    return packet;
  }

  /** The next packet has to be a PUBLISH; it is acknowledged. */
  async message(): Promise<Message> {
    const packet = await this.next("a PUBLISH");
    expect(packet.cmd).toBe("publish");
    const message = packet as Message;
    await this.acknowledge(message);
    return message;
  }

  /** The next packet has to be a PUBLISH with this topic and payload. */
  async expectMessage(topic: string, payload: string): Promise<Message> {
    const message = await this.message();
    expect([message.topic, message.payload.toString()]).toEqual([topic, payload]);
    return message;
  }

  /** The next `count` messages, each acknowledged. */
  async messages(count: number): Promise<Message[]> {
    const messages: Message[] = [];
    while (messages.length < count) messages.push(await this.message());
    return messages;
  }

  /**
   * The connection is there, and nothing was on its way from it: it answers PINGREQ first. That says nothing of what
   * a shard may still send; for that publish a message behind it and expect that one next.
   */
  async expectNothing(): Promise<void> {
    this.send({ cmd: "pingreq" });
    await this.expectPacket({ cmd: "pingresp" });
  }

  /** The socket closes without another packet, and a WebSocket with this code. */
  async expectClosed(code?: number): Promise<void> {
    await this.#until(() => this.#closed !== undefined || this.#received.length > 0, "the end of the socket");
    expect(this.#received.map(({ cmd }) => cmd)).toEqual([]);
    if (code !== undefined && this.#closed!.code !== undefined) expect(this.#closed!.code).toBe(code);
  }

  /** What a client is told that broke the protocol: an MQTT 5 client the reason, an older one nothing. */
  async expectDisconnected(reasonCode: number, code?: number): Promise<void> {
    if (this.version === 5) await this.expectPacket({ cmd: "disconnect", reasonCode });
    await this.expectClosed(code);
  }

  /** Resolves when the socket is closed, by whomever, and leaves what came before to be taken. */
  async closed(): Promise<void> {
    await this.#until(() => this.#closed !== undefined, "the end of the socket");
  }

  /** What came and was not taken. */
  untaken(): readonly Received[] {
    return this.#received;
  }

  /** Takes the first packet that is like this and leaves the others in their order. */
  async take(like: (packet: Received) => boolean, what: string): Promise<Received> {
    let at = -1;
    await this.#until(() => (at = this.#received.findIndex(like)) >= 0, what);
    return this.#received.splice(at, 1)[0]!;
  }

  async #until(condition: () => boolean, what: string): Promise<void> {
    if (condition()) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const fail = (why: string): void => {
      const seen = this.#received.map(({ cmd, raw }) => `${cmd} ${raw.subarray(0, 32).toString("hex")}`).join(", ");
      reject(
        new Error(`${why} while ${this.clientId || "a client"} waited for ${what}; untaken: ${seen || "nothing"}`),
      );
    };
    const timer = setTimeout(() => fail("nothing more came"), PATIENCE_MS);
    const waker = (): void => {
      if (condition()) resolve();
      else if (this.#closed) fail(`the socket closed (${this.#closed.code ?? "TCP"})`);
    };
    this.#wakers.add(waker);
    try {
      waker();
      await promise;
    } finally {
      clearTimeout(timer);
      this.#wakers.delete(waker);
    }
  }

  #wake(): void {
    for (const waker of this.#wakers) waker();
  }

  #onClosed(code: number | undefined): void {
    this.#closed = { code };
    opened.delete(this);
    this.#wake();
  }

  #bytes(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bufferedBytes += chunk.length;
    if (this.#bufferedBytes < this.#wantedBytes) return;
    let rest = Buffer.concat(this.#chunks);
    for (;;) {
      const size = packetBytes(rest);
      this.#wantedBytes = size ?? rest.length + 1;
      if (size === undefined || rest.length < size) break;
      this.#received.push(this.#decode(rest.subarray(0, size)));
      rest = rest.subarray(size);
    }
    this.#chunks = [rest];
    this.#bufferedBytes = rest.length;
    this.#wake();
  }

  #decode(raw: Buffer): Received {
    const parser = mqttPacket.parser({ protocolVersion: this.version });
    let decoded: Packet | undefined;
    parser.on("packet", (packet: Packet) => (decoded = packet));
    parser.on("error", (error: Error) => {
      throw new Error(`the broker sent ${raw.subarray(0, 64).toString("hex")}: ${error.message}`);
    });
    parser.parse(raw);
    if (!decoded) throw new Error(`the broker sent ${raw.subarray(0, 64).toString("hex")}`);
    return Object.assign(decoded, { raw });
  }
}

/** The size of the packet that `bytes` starts with, once its fixed header is there. */
function packetBytes(bytes: Buffer): number | undefined {
  let length = 0;
  for (let at = 1; at < Math.min(bytes.length, 5); at++) {
    length += (bytes[at]! & 0x7f) * 128 ** (at - 1);
    if (bytes[at]! < 0x80) return at + 1 + length;
  }
  return undefined;
}
