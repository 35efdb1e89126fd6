/** An MQTT client that connects and subscribes properly and then gets out of the way: its owner takes over `onPacket`. */

import {
  DISCONNECT_PACKET,
  PacketReader,
  PacketType,
  type PacketSink,
  type ProtocolLevel,
  type Qos,
  connectPacket,
  subscribePacket,
} from "./mqtt-frames.ts";
import { type Address, type Transport, openTransport, wrap } from "./transport.ts";

const ANSWER_TIMEOUT_MS = 15_000;
/** A broker closes after DISCONNECT, but it is not said how soon. */
const CLOSE_TIMEOUT_MS = 2_000;

export class Client {
  /** Every packet that is not the answer to CONNECT or SUBSCRIBE. */
  onPacket: PacketSink = () => {};
  /** One read from the socket is done. */
  onReadEnd: () => void = () => {};
  /** The connection ended although nobody here ended it. */
  onFailure: (reason: string) => void = () => {};

  readonly #clientId: string;
  readonly #protocol: ProtocolLevel;
  readonly #closed = Promise.withResolvers<void>();
  #transport: Transport | null = null;
  #awaited: { type: number; resolve: (body: Buffer) => void; reject: (reason: Error) => void } | null = null;

  constructor(protocol: ProtocolLevel, clientId: string) {
    this.#protocol = protocol;
    this.#clientId = clientId;
  }

  /** Opens the transport, without a word of MQTT. */
  async open(address: Address): Promise<void> {
    const reader = new PacketReader((buffer, at, bodyAt, end) => this.#take(buffer, at, bodyAt, end));
    this.#transport = await openTransport(address, {
      onBytes: (buffer, start, end) => reader.push(buffer, start, end),
      onReadEnd: () => this.onReadEnd(),
      onClose: (reason) => this.#onClose(reason),
    });
  }

  /**
   * Says CONNECT. What a session has waiting may come with the very read that brings CONNACK, so who wants it sets
   * `onPacket` before.
   *
   * @param clean without it the session outlives the connection
   * @returns whether the broker had kept a session
   */
  async connect(clean = true): Promise<boolean> {
    const connack = await this.#request(connectPacket(this.#protocol, this.#clientId, clean), PacketType.connack);
    if (connack[1] !== 0) throw new Error(`${this.#clientId}: CONNECT was refused with ${connack[1]}`);
    return (connack[0]! & 1) === 1;
  }

  async subscribe(topic: string, qos: Qos): Promise<void> {
    const suback = await this.#request(subscribePacket(this.#protocol, topic, qos), PacketType.suback);
    const granted = suback[suback.length - 1];
    if (granted !== qos) throw new Error(`${this.#clientId}: SUBSCRIBE was answered with ${granted}`);
  }

  /** Writes bytes that are already wrapped for the transport. */
  write(bytes: Buffer): void {
    this.#transport?.write(bytes);
  }

  /** Takes leave, and resolves when the broker has closed the connection. */
  async disconnect(): Promise<void> {
    this.onFailure = () => {};
    this.write(wrap(this.#transport!.kind, DISCONNECT_PACKET));
    const timeout = setTimeout(() => this.destroy(), CLOSE_TIMEOUT_MS);
    await this.#closed.promise;
    clearTimeout(timeout);
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

  #onClose(reason: string): void {
    this.#awaited?.reject(new Error(`${this.#clientId}: ${reason}`));
    this.#awaited = null;
    this.onFailure(`${this.#clientId}: ${reason}`);
    this.#closed.resolve();
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
