/**
 * What one client may be sent, and what it must be closed for. It reads both directions of the client's socket, as the
 * peer (mqtt-packet) and the specification read them, and throws a {@link Find} for what should not be.
 */
import mqttPacket, { type Packet } from "mqtt-packet";
import {
  type Connect,
  decodeConnect,
  type Disconnect,
  type Subscribe,
  type Unsubscribe,
} from "../../src/mqtt/codec.ts";
import { checkFixedHeader, FrameReader } from "../../src/mqtt/frame.ts";
import { PacketType } from "../../src/mqtt/packet.ts";
import { MqttError, Reason } from "../../src/mqtt/reason.ts";
import type { Limits } from "../../src/core/limits.ts";
import type { Ack } from "../../src/mqtt/ack.ts";
import type { Publish } from "../../src/mqtt/publish.ts";
import { decode } from "../mqtt/decode.ts";
import type { Version } from "./grammar.ts";

/** Something that must not happen has happened. */
export class Find extends Error {
  override readonly name = "Find";
}

/** Packets that a server sends, and the type before CONNACK. */
const FROM_SERVERS = new Set<number>([2, 3, 4, 5, 6, 7, 9, 11, 13, 14]);

type Told = Packet & {
  messageId: number;
  reasonCode?: number;
  returnCode?: number;
  granted?: number[];
  properties?: Record<string, unknown>;
};

export class Judge {
  readonly #limits: Limits;
  readonly #up: FrameReader;
  readonly #down = new FrameReader(0x0fffffff);
  #connect: Connect | undefined;
  #parser: mqttPacket.Parser | undefined;
  #parsed: Told[] = [];
  #connacks = 0;
  #refused = false;
  #disconnected = false;
  /** Why the client must be closed, whatever else it does. */
  doomed: string | undefined;
  /** It said goodbye; nothing behind it is read. */
  left = false;
  closed = false;
  /** Packets that the client has sent whole. */
  packets = 0;
  /** Packets that the broker has sent. */
  answers = 0;
  /** How often an answer is due, by packet type and id. */
  readonly #due = new Map<number, number>();
  readonly #filters = new Map<number, number[]>();
  /** Deliveries that are not acknowledged: 1 and 2 as their QoS, 3 when received and not completed. */
  readonly #inflight = new Map<number, 1 | 2 | 3>();
  /** Topic aliases that the client was told. */
  readonly #aliases = new Set<number>();

  constructor(limits: Limits) {
    this.#limits = limits;
    this.#up = new FrameReader(limits.packetBytesMax);
  }

  get connected(): boolean {
    return this.#connacks > 0 && !this.#refused;
  }

  /** What the client is about to send. */
  sends(chunk: Uint8Array): void {
    if (this.doomed !== undefined || this.left) return;
    try {
      // Kept by nobody but the reader.
      this.#up.push(chunk);
      while (this.doomed === undefined && !this.left && this.#up.next()) {
        this.packets += 1;
        this.#sent();
      }
    } catch (error) {
      if (!(error instanceof MqttError)) throw error;
      this.doomed = error.message;
    }
  }

  /** What it has just sent whole ends its connection, as who made it knows. */
  offends(offence: string | undefined): void {
    if (!this.left) this.doomed ??= offence;
  }

  #sent(): void {
    const frame = this.#up;
    if (!this.#connect) {
      if (frame.type !== PacketType.CONNECT) {
        this.doomed = "the first packet is not CONNECT";
        return;
      }
      checkFixedHeader(frame.type, frame.flags, 4);
      this.#connect = decodeConnect(frame, this.#limits);
      return;
    }
    const { version } = this.#connect;
    if (frame.type === PacketType.CONNECT) this.doomed = "a second CONNECT";
    else if ([2, 9, 11, 13, 15].includes(frame.type)) this.doomed = `packet type ${frame.type}`;
    if (this.doomed !== undefined) return;
    const packet = decode(frame, version, this.#limits);
    switch (frame.type) {
      case PacketType.PUBLISH: {
        const { qos, packetId } = packet as Publish;
        if (qos > 0) this.#owe(qos === 1 ? PacketType.PUBACK : PacketType.PUBREC, packetId);
        return;
      }
      case PacketType.PUBREL:
        return this.#owe(PacketType.PUBCOMP, (packet as Ack).packetId);
      case PacketType.SUBSCRIBE: {
        const { packetId, subscriptions } = packet as Subscribe;
        return this.#owe(PacketType.SUBACK, packetId, subscriptions.length);
      }
      case PacketType.UNSUBSCRIBE: {
        const { packetId, filters } = packet as Unsubscribe;
        return this.#owe(PacketType.UNSUBACK, packetId, filters.length);
      }
      case PacketType.PINGREQ:
        return this.#owe(PacketType.PINGRESP, 0);
      case PacketType.DISCONNECT: {
        const { sessionExpirySeconds } = packet as Disconnect;
        const raises = (sessionExpirySeconds ?? 0) > 0 && (this.#connect.sessionExpirySeconds ?? 0) === 0;
        if (raises) this.doomed = "the session expiry is raised from 0";
        else this.left = true;
        return;
      }
      case PacketType.PUBACK:
        return this.#acknowledged(packet as Ack, 1);
      case PacketType.PUBREC: {
        const { packetId, reason } = packet as Ack;
        if (this.#inflight.get(packetId) !== 2) return;
        if (reason >= 0x80) this.#inflight.delete(packetId);
        else this.#inflight.set(packetId, 3);
        return;
      }
      case PacketType.PUBCOMP:
        return this.#acknowledged(packet as Ack, 3);
    }
  }

  #acknowledged({ packetId }: Ack, as: 1 | 3): void {
    if (this.#inflight.get(packetId) === as) this.#inflight.delete(packetId);
  }

  #owe(type: number, packetId: number, filters?: number): void {
    const key = type * 65_536 + packetId;
    this.#due.set(key, (this.#due.get(key) ?? 0) + 1);
    if (filters === undefined) return;
    const counts = this.#filters.get(key);
    if (counts) counts.push(filters);
    else this.#filters.set(key, [filters]);
  }

  /** What the broker sends. */
  gets(bytes: Uint8Array): void {
    if (this.closed) throw new Find("bytes behind the close");
    if (bytes.length === 0) throw new Find("an empty send");
    this.#down.push(new Uint8Array(bytes));
    const reader = this.#down;
    while (reader.next()) {
      this.answers += 1;
      this.#told(reader.type, reader.bytes.subarray(reader.start, reader.end));
    }
    if (reader.bufferedBytes > 0) throw new Find("a packet that is not whole");
  }

  #told(type: number, bytes: Uint8Array): void {
    const hex = (): string => Buffer.from(bytes).toString("hex").slice(0, 200);
    if (this.#disconnected || this.#refused) throw new Find(`a packet behind the last one: ${hex()}`);
    if (!FROM_SERVERS.has(type)) throw new Find(`a server does not send ${hex()}`);
    if (type === PacketType.CONNACK) {
      this.#connacks += 1;
      if (this.#connacks > 1) throw new Find("a second CONNACK");
      if (!this.#connect) return this.#refusal(bytes);
    } else if (this.#connacks === 0) throw new Find(`before CONNACK: ${hex()}`);
    const connect = this.#connect!;
    if (bytes.length > (connect.maximumPacketSize ?? Infinity)) {
      throw new Find(`${bytes.length} bytes are above Maximum Packet Size ${connect.maximumPacketSize}: ${hex()}`);
    }
    const packet = this.#parse(bytes, connect.version);
    if (packet === undefined) throw new Find(`the peer does not understand ${hex()}`);
    switch (type) {
      case PacketType.CONNACK:
        this.#refused = (packet.reasonCode ?? packet.returnCode ?? 0) !== 0;
        return;
      case PacketType.PUBLISH:
        return this.#delivered(bytes, packet as Told & { qos: number; topic: string; dup: boolean });
      case PacketType.DISCONNECT:
        if (connect.version < 5) throw new Find("DISCONNECT before MQTT 5");
        if (packet.reasonCode === Reason.UnspecifiedError) throw new Find("DISCONNECT 0x80");
        this.#disconnected = true;
        return;
      case PacketType.PUBREL:
        return;
      default:
        return this.#answered(type, packet, hex);
    }
  }

  /** A CONNECT that is not one is answered in the form that its version seems to have. */
  #refusal(bytes: Uint8Array): void {
    this.#refused = true;
    const packet = this.#parse(bytes, bytes.length === 4 ? 4 : 5);
    if (packet === undefined || (packet.reasonCode ?? packet.returnCode) === 0) {
      throw new Find(`a bad CONNECT is answered with ${Buffer.from(bytes).toString("hex")}`);
    }
  }

  #delivered(
    bytes: Uint8Array,
    { qos, topic, dup, messageId, properties }: Told & { qos: number; topic: string; dup: boolean },
  ): void {
    const { version, receiveMaximum } = this.#connect!;
    this.#named(topic, properties?.["topicAlias"] as number | undefined);
    if (/[+#\0]/.test(topic)) throw new Find(`a delivery with the topic ${topic}`);
    if (qos === 0) {
      if (dup) throw new Find("DUP at QoS 0");
      return;
    }
    if (messageId === 0) throw new Find("packet identifier 0");
    const already = this.#inflight.get(messageId);
    if (already !== undefined && !dup) throw new Find(`packet identifier ${messageId} is used twice`);
    this.#inflight.set(messageId, qos as 1 | 2);
    const most = version === 5 ? (receiveMaximum ?? 65_535) : 65_535;
    if (this.#inflight.size > most) {
      throw new Find(`${this.#inflight.size} deliveries are above Receive Maximum ${most}, ${bytes.length} bytes`);
    }
  }

  /** A delivery has a name, or an alias that has been told it. */
  #named(topic: string, alias: number | undefined): void {
    if (alias === undefined) {
      if (topic === "") throw new Find("a delivery without a topic");
      return;
    }
    const most = this.#connect!.topicAliasMaximum ?? 0;
    if (alias === 0 || alias > most) throw new Find(`topic alias ${alias}, above Topic Alias Maximum ${most}`);
    if (topic !== "") this.#aliases.add(alias);
    else if (!this.#aliases.has(alias)) throw new Find(`topic alias ${alias} that was not told`);
  }

  #answered(type: number, packet: Told, hex: () => string): void {
    const key = type * 65_536 + (type === PacketType.PINGRESP ? 0 : packet.messageId);
    const due = this.#due.get(key) ?? 0;
    if (due === 0) throw new Find(`nothing was asked that ${hex()} answers`);
    if (due === 1) this.#due.delete(key);
    else this.#due.set(key, due - 1);
    const counts = this.#filters.get(key);
    if (!counts || (type === PacketType.UNSUBACK && this.#connect!.version < 5)) return;
    const at = counts.indexOf(packet.granted?.length ?? 0);
    if (at < 0) throw new Find(`${packet.granted?.length} codes for ${counts.join(" or ")} filters`);
    counts.splice(at, 1);
  }

  /** Everything has come to rest with the client still connected. */
  settled(): void {
    if (this.closed) return;
    if (this.doomed !== undefined) throw new Find(`still open after: ${this.doomed}`);
    if (this.left) throw new Find("still open after DISCONNECT");
    if (!this.connected) return;
    for (const key of this.#due.keys()) {
      const type = key >> 16;
      // A PUBLISH that is repeated while it is under way is answered once.
      const once = type === PacketType.PUBACK || type === PacketType.PUBREC || type === PacketType.PUBCOMP;
      if (!once) throw new Find(`no answer of type ${type} to ${key & 0xffff}`);
    }
  }

  #parse(bytes: Uint8Array, version: Version): Told | undefined {
    let parser = this.#parser;
    if (!parser) {
      parser = this.#parser = mqttPacket.parser({ protocolVersion: version });
      parser.on("packet", (packet: Packet) => this.#parsed.push(packet as Told));
      parser.on("error", (error: Error) => {
        throw new Find(`the peer cannot read an answer: ${error.message}`);
      });
    }
    const left = parser.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
    if (left > 0) throw new Find("the peer reads less than was written");
    return this.#parsed.pop();
  }
}
