/** An MQTT client that connects and subscribes properly and then gets out of the way: its owner takes over `onPacket`. */

import { PacketReader, PacketType, type PacketSink, connectPacket, subscribePacket } from "./mqtt-frames.ts";
import type { ProtocolLevel } from "./mqtt-frames.ts";
import { type Address, type Transport, openTransport, wrap } from "./transport.ts";

const ANSWER_TIMEOUT_MS = 15_000;

export class Client {
  /** Every packet that is not the answer to CONNECT or SUBSCRIBE. */
  onPacket: PacketSink = () => {};
  /** One read from the socket is done. */
  onReadEnd: () => void = () => {};
  /** The connection ended although nobody here ended it. */
  onFailure: (reason: string) => void = () => {};

  readonly #clientId: string;
  readonly #protocol: ProtocolLevel;
  #transport: Transport | null = null;
  #awaited: { type: number; resolve: (body: Buffer) => void; reject: (reason: Error) => void } | null = null;

  private constructor(clientId: string, protocol: ProtocolLevel) {
    this.#clientId = clientId;
    this.#protocol = protocol;
  }

  static async connect(address: Address, protocol: ProtocolLevel, clientId: string): Promise<Client> {
    const client = new Client(clientId, protocol);
    const reader = new PacketReader((buffer, at, bodyAt, end) => client.#take(buffer, at, bodyAt, end));
    client.#transport = await openTransport(address, {
      onBytes: (buffer, start, end) => reader.push(buffer, start, end),
      onReadEnd: () => client.onReadEnd(),
      onClose: (reason) => client.#closed(reason),
    });
    const connack = await client.#request(connectPacket(protocol, clientId), PacketType.connack);
    if (connack[1] !== 0) throw new Error(`${clientId}: CONNECT was refused with ${connack[1]}`);
    return client;
  }

  async subscribe(topic: string, qos: 0 | 1): Promise<void> {
    const suback = await this.#request(subscribePacket(this.#protocol, topic, qos), PacketType.suback);
    const granted = suback[suback.length - 1];
    if (granted !== qos) throw new Error(`${this.#clientId}: SUBSCRIBE was answered with ${granted}`);
  }

  /** Writes bytes that are already wrapped for the transport. */
  write(bytes: Buffer): void {
    this.#transport?.write(bytes);
  }

  destroy(): void {
    this.onFailure = () => {};
    this.#transport?.destroy();
  }

  #take(buffer: Buffer, at: number, bodyAt: number, end: number): void {
    if (this.#awaited !== null && (buffer[at]! & 0xf0) === this.#awaited.type) {
      this.#awaited.resolve(Buffer.from(buffer.subarray(bodyAt, end)));
      this.#awaited = null;
      return;
    }
    this.onPacket(buffer, at, bodyAt, end);
  }

  #closed(reason: string): void {
    this.#awaited?.reject(new Error(`${this.#clientId}: ${reason}`));
    this.#awaited = null;
    this.onFailure(`${this.#clientId}: ${reason}`);
  }

  async #request(packet: Buffer, answer: number): Promise<Buffer> {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    const timeout = setTimeout(() => reject(new Error(`${this.#clientId}: no answer in time`)), ANSWER_TIMEOUT_MS);
    this.#awaited = { type: answer, resolve, reject };
    this.write(wrap(this.#transport!.kind, packet));
    try {
      return await promise;
    } finally {
      clearTimeout(timeout);
    }
  }
}
