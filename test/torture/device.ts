/**
 * A client that keeps its session as MQTT demands, and comes back whenever it loses its connection: it sends again what
 * was not answered, in order and with DUP, goes on with what it released, remembers QoS 2 ids until PUBREL, and forgets
 * all of it when CONNACK says that there is no session. Everything it does is noted in the history.
 */
import type { IConnackPacket, IPublishPacket, ISubackPacket, IUnsubackPacket, Packet } from "mqtt-packet";
import type { Random } from "../support/random.ts";
import type { Transport } from "../broker/support/wire.ts";
import type { Filter, Happening, History, Qos, Will } from "./history.ts";
import { Line, type Address } from "./line.ts";
import { Outgoing, type Publish } from "./outgoing.ts";
import { keyOf, padded } from "./payload.ts";

export interface Profile {
  readonly clientId: string;
  readonly version: 4 | 5;
  readonly transport: Transport;
  /** 0: its session ends with its connection. NEVER: Clean Session 0 of 3.1.1, or no end in 5.0. */
  readonly expirySeconds: number;
  readonly receiveMaximum: number;
  readonly filters: readonly Filter[];
  readonly will?: Omit<Will, "payload">;
  /** The longest that it takes to acknowledge. */
  readonly answerMs: number;
}

/** Publishes under way at a time, if the broker lets it. */
const WINDOW = 20;
const CONNACK_MS = 12_000;
/** How long it waits for the broker to end the socket after DISCONNECT. */
const PARTING_MS = 5000;

let connections = 0;

export type End = "cut" | "end" | "disconnect" | "disconnect with will";

export class Device {
  readonly profile: Profile;
  readonly #address: () => Promise<Address>;
  readonly #history: History;
  readonly #random: Random;
  readonly #outgoing = new Outgoing();
  /** QoS 2 messages that came and were not released. */
  readonly #held = new Set<number>();
  readonly #wanted = new Map<string, Qos>();
  readonly #granted = new Set<string>();
  readonly #asked = new Map<number, readonly string[]>();
  readonly #answers: Packet[] = [];
  /** Taken over and left open. */
  readonly #leftOpen: Line[] = [];
  #line: Line | undefined;
  #connection = 0;
  /** The end of a socket after DISCONNECT. */
  #parted: Promise<void> | undefined;
  #isConnected = false;
  #isWanted = false;
  #isComing = false;
  #startsClean = false;
  /** Its session has expired, or was told to end. */
  #isOver = false;
  #aloneSince = Number.POSITIVE_INFINITY;
  #window = WINDOW;
  #wills = 0;
  #said = "";

  constructor(profile: Profile, address: () => Promise<Address>, history: History, random: Random) {
    this.profile = profile;
    this.#address = address;
    this.#history = history;
    this.#random = random;
    for (const { filter, qos } of profile.filters) this.#wanted.set(filter, qos);
  }

  get clientId(): string {
    return this.profile.clientId;
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  /** What it still waits for, for whoever waits for it. */
  get unsettled(): string | undefined {
    if (!this.#isConnected) return "is not connected";
    if (this.#outgoing.size > 0) return `has ${this.#outgoing.size} publishes under way`;
    if (this.#asked.size > 0) return "waits for SUBACK or UNSUBACK";
    if (this.#interests().length > 0) return "is not subscribed as it wants to be";
    if (this.#held.size > 0 || this.#answers.length > 0) return `waits for ${this.#held.size} PUBRELs`;
    return undefined;
  }

  /** Comes and stays, however often it is thrown out. */
  come(): void {
    this.#isWanted = true;
    void this.#come();
  }

  /** Loses its connection, and comes back at once. */
  lose(how: End): void {
    this.#leave(how);
    if (this.#isWanted) this.#comeSoon();
  }

  /** Stays away until it is told to come. A session that is to end at once is asked for by DISCONNECT (5.0). */
  leave(how: End, endsSession = false): void {
    this.#isWanted = false;
    this.#leave(how, endsSession);
  }

  /** Forgets everything and asks the broker to. */
  renew(how: End): void {
    this.#startsClean = true;
    this.lose(how);
  }

  /** Connects again without having closed anything. */
  takeOver(): void {
    if (!this.#isConnected || this.#isComing) return;
    void this.#come(true);
  }

  /** Ends for good, and every socket with it. */
  stop(): void {
    this.leave("cut");
    for (const line of this.#leftOpen) line.cut();
  }

  /** False if it cannot just now. */
  publish(publish: Publish): boolean {
    if (!this.#isConnected) return false;
    if (publish.qos > 0 && this.#outgoing.size >= this.#window) return false;
    const underway = publish.qos > 0 ? this.#outgoing.publish(publish) : { ...publish, packetId: 0 };
    this.#sendPublish(underway, false);
    return true;
  }

  want(filter: string, qos: Qos | undefined): void {
    if (qos === undefined) this.#wanted.delete(filter);
    else this.#wanted.set(filter, qos);
    this.#askForInterests();
  }

  /** Subscribes again to what it has. */
  ask(filter: string): void {
    this.#granted.delete(filter);
    this.#askForInterests();
  }

  // Connecting.

  #comeSoon(): void {
    setTimeout(() => void this.#come(), this.#random.below(60));
  }

  async #come(takesOver = false): Promise<void> {
    if (this.#isComing) return;
    this.#isComing = true;
    try {
      while (this.#isWanted && (takesOver || !this.#line)) {
        await this.#parted;
        try {
          await this.#connect(await this.#address());
          return;
        } catch {
          await new Promise((resolve) => setTimeout(resolve, 20 + this.#random.below(100)));
        }
      }
    } finally {
      this.#isComing = false;
    }
  }

  async #connect(address: Address): Promise<void> {
    const number = ++connections;
    const { transport, version } = this.profile;
    const line: Line = await Line.open(address, transport, version, {
      packet: (packet) => this.#packet(line, packet),
      closed: (detail) => this.#closed(line, "broker", `${this.#said}${detail}`),
    });
    if (!this.#isWanted) return line.cut();
    if (this.#line) {
      this.#line.abandon();
      this.#leftOpen.push(this.#line);
      this.#lost();
    }
    this.#line = line;
    this.#connection = number;
    this.#said = "";
    const { clientId, expirySeconds, receiveMaximum } = this.profile;
    // The broker counts from when it noticed, and so to a later end.
    if (performance.now() - this.#aloneSince > expirySeconds * 1000) this.#ended();
    const cleanStart = expirySeconds === 0 || this.#startsClean;
    if (cleanStart) this.#forget();
    // Unless this one is answered, the next one must not find a session that this one began.
    if (this.#isOver) this.#startsClean = true;
    const will = this.profile.will && { ...this.profile.will, payload: `${clientId}!${++this.#wills}` };
    this.#record({ type: "connect", cleanStart, expirySeconds, receiveMaximum, ...(will && { will }) });
    line.send({
      cmd: "connect",
      protocolId: "MQTT",
      protocolVersion: version,
      clientId,
      clean: cleanStart,
      keepalive: 0,
      ...(version === 5 && {
        properties: {
          ...(expirySeconds > 0 && { sessionExpiryInterval: Math.min(expirySeconds, 0xffffffff) }),
          ...(receiveMaximum < 65_535 && { receiveMaximum }),
        },
      }),
      ...(will && {
        will: {
          topic: will.topic,
          payload: Buffer.from(will.payload),
          qos: will.qos,
          retain: false,
          ...(version === 5 && will.delaySeconds > 0 && { properties: { willDelayInterval: will.delaySeconds } }),
        },
      }),
    });
    setTimeout(() => {
      if (this.#line !== line || this.#isConnected) return;
      line.cut();
      this.#closed(line, "client", "no CONNACK");
    }, CONNACK_MS).unref();
  }

  #connack(line: Line, packet: IConnackPacket): void {
    const reason = (this.profile.version === 5 ? packet.reasonCode : packet.returnCode) ?? 0;
    if (reason !== 0) {
      this.#record({ type: "refused", reason });
      line.cut();
      this.#closed(line, "client", `refused with 0x${reason.toString(16)}`);
      return;
    }
    this.#isConnected = true;
    this.#startsClean = false;
    this.#record({ type: "connected", sessionPresent: packet.sessionPresent });
    const isOver = this.#isOver;
    this.#isOver = false;
    // A session that it knows nothing of any more [MQTT-3.2.2-4].
    if (isOver && packet.sessionPresent) return this.renew("cut");
    if (!packet.sessionPresent) this.#forget();
    this.#window = Math.min(WINDOW, packet.properties?.receiveMaximum ?? WINDOW);
    for (const underway of this.#outgoing.all) {
      if (underway.received) this.#release(underway.packetId);
      else this.#sendPublish(underway, true);
    }
    this.#askForInterests();
  }

  #leave(how: End, endsSession = false): void {
    const line = this.#line;
    if (!line) return;
    if (how === "cut" || how === "end" || !this.#isConnected) {
      this.#closed(line, "client", how);
      if (how === "cut") return line.cut();
      line.abandon();
      line.end();
      return;
    }
    this.#disconnect(line, how === "disconnect" ? 0 : 4, endsSession);
    // Who does not wait for the end of the socket may be faster with the next one than the broker with this one.
    const waitMs = this.#random.chance(0.2) ? 0 : PARTING_MS;
    this.#line = undefined;
    this.#lost();
    const parted = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      line.abandon();
      parted.resolve();
    }, waitMs);
    this.#parted = parted.promise;
    const connection = this.#connection;
    line.whenClosed(() => {
      clearTimeout(timer);
      // Another one may have been on its way to take it over.
      if (this.#connection === connection) {
        this.#record({ type: "closed", by: "broker", detail: "after DISCONNECT" });
      }
      parted.resolve();
    });
    line.end();
  }

  #disconnect(line: Line, reason: 0 | 4, endsSession: boolean): void {
    // 3.1.1 knows only one DISCONNECT.
    const { version } = this.profile;
    const reasonCode = version === 5 ? reason : 0;
    const expiry = version === 5 && endsSession ? { expirySeconds: 0 } : {};
    this.#record({ type: "disconnect", reason: reasonCode, ...expiry });
    if (version === 5 && endsSession) this.#ended();
    const properties = version === 5 && endsSession ? { properties: { sessionExpiryInterval: 0 } } : {};
    line.send({ cmd: "disconnect", reasonCode, ...properties });
  }

  #closed(line: Line, by: "client" | "broker", detail: string): void {
    if (this.#line !== line) return;
    this.#record({ type: "closed", by, detail });
    this.#line = undefined;
    this.#lost();
    if (this.#isWanted) this.#comeSoon();
  }

  /** Its session is over, whatever the broker says to the next CONNECT. */
  #ended(): void {
    this.#isOver = true;
    this.#forget();
  }

  /** What goes with a connection. */
  #lost(): void {
    if (this.#isConnected) this.#aloneSince = performance.now();
    this.#isConnected = false;
    this.#answers.length = 0;
    this.#asked.clear();
    this.#outgoing.returnIds();
  }

  /** What goes with a session. */
  #forget(): void {
    this.#outgoing.clear();
    this.#held.clear();
    this.#granted.clear();
    this.#asked.clear();
  }

  // Packets.

  #packet(line: Line, packet: Packet): void {
    if (this.#line !== line) return;
    switch (packet.cmd) {
      case "connack":
        this.#connack(line, packet);
        return;
      case "publish":
        this.#received(packet);
        return;
      case "pubrel":
        this.#released(packet.messageId!);
        return;
      case "puback":
      case "pubrec":
      case "pubcomp":
        this.#acknowledged(packet.cmd, packet.messageId!, packet.reasonCode ?? 0);
        return;
      case "suback":
        this.#subscribed(packet);
        return;
      case "unsuback":
        this.#unsubscribed(packet);
        return;
      case "disconnect":
        this.#said = `DISCONNECT 0x${(packet.reasonCode ?? 0).toString(16)} `;
        return;
      default:
        return;
    }
  }

  #received(packet: IPublishPacket): void {
    const { topic, qos, retain, dup, messageId: packetId = 0 } = packet;
    this.#record({ type: "received", topic, payload: keyOf(packet.payload as Buffer), qos, retain, dup, packetId });
    if (qos === 1) this.#answer({ cmd: "puback", messageId: packetId, reasonCode: 0 });
    if (qos === 2) {
      this.#held.add(packetId);
      this.#answer({ cmd: "pubrec", messageId: packetId, reasonCode: 0 });
    }
  }

  #released(packetId: number): void {
    this.#record({ type: "released", packetId });
    const reasonCode = this.#held.delete(packetId) || this.profile.version === 4 ? 0 : 0x92;
    this.#answer({ cmd: "pubcomp", messageId: packetId, reasonCode });
  }

  /** In order [MQTT-4.6.0-2], at once or some time later. */
  #answer(packet: Packet): void {
    this.#answers.push(packet);
    if (this.profile.answerMs === 0) return this.#sendAnswers();
    if (this.#answers.length > 1) return;
    setTimeout(() => this.#sendAnswers(), this.#random.below(this.profile.answerMs));
  }

  #sendAnswers(): void {
    for (const packet of this.#answers.splice(0)) {
      this.#record({
        type: "answered",
        packetId: packet.messageId!,
        by: packet.cmd as "puback" | "pubrec" | "pubcomp",
      });
      this.#line!.send(packet);
    }
  }

  #sendPublish({ topic, payload, qos, retain, packetId }: Publish & { packetId: number }, dup: boolean): void {
    this.#record({ type: "publish", topic, payload, qos, retain, dup, packetId });
    this.#line!.send({
      cmd: "publish",
      topic,
      payload: padded(payload),
      qos,
      retain,
      dup,
      ...(qos > 0 && { messageId: packetId }),
    });
  }

  #acknowledged(by: "puback" | "pubrec" | "pubcomp", packetId: number, reason: number): void {
    this.#record({ type: "acknowledged", packetId, by, reason });
    const underway = this.#outgoing.get(packetId);
    if (!underway) return;
    if (by !== "pubrec" || reason >= 0x80) return this.#outgoing.done(packetId);
    this.#outgoing.received(underway);
    this.#release(packetId);
  }

  #release(packetId: number): void {
    this.#record({ type: "release", packetId });
    this.#line!.send({ cmd: "pubrel", messageId: packetId, reasonCode: 0 });
  }

  // Subscriptions.

  /** What it has to ask for: filters that it wants and has not, and those that it has and does not want. */
  #interests(): string[] {
    const asked = new Set([...this.#asked.values()].flat());
    const missing = [...this.#wanted.keys()].filter((filter) => !this.#granted.has(filter));
    const unwanted = [...this.#granted].filter((filter) => !this.#wanted.has(filter));
    return [...missing, ...unwanted].filter((filter) => !asked.has(filter));
  }

  #askForInterests(): void {
    if (!this.#isConnected) return;
    const interests = this.#interests();
    const missing = interests.filter((filter) => this.#wanted.has(filter));
    const unwanted = interests.filter((filter) => !this.#wanted.has(filter));
    if (missing.length > 0) {
      const packetId = this.#outgoing.takeId();
      const filters = missing.map((filter) => ({ filter, qos: this.#wanted.get(filter)! }));
      this.#asked.set(packetId, missing);
      this.#record({ type: "subscribe", packetId, filters });
      const subscriptions = filters.map(({ filter, qos }) => ({ topic: filter, qos }));
      this.#line!.send({ cmd: "subscribe", messageId: packetId, subscriptions });
    }
    if (unwanted.length > 0) {
      const packetId = this.#outgoing.takeId();
      this.#asked.set(packetId, unwanted);
      this.#record({ type: "unsubscribe", packetId, filters: unwanted });
      this.#line!.send({ cmd: "unsubscribe", messageId: packetId, unsubscriptions: unwanted });
    }
  }

  #subscribed(packet: ISubackPacket): void {
    const packetId = packet.messageId!;
    const granted = packet.granted as number[];
    this.#record({ type: "subscribed", packetId, granted });
    for (const [at, filter] of (this.#asked.get(packetId) ?? []).entries()) {
      if ((granted[at] ?? 0x80) < 0x80) this.#granted.add(filter);
    }
    this.#asked.delete(packetId);
    this.#outgoing.returnId(packetId);
    this.#askAgain();
  }

  #unsubscribed(packet: IUnsubackPacket): void {
    const packetId = packet.messageId!;
    const filters = this.#asked.get(packetId) ?? [];
    const granted = this.profile.version === 5 ? (packet.granted as number[]) : filters.map(() => 0);
    this.#record({ type: "unsubscribed", packetId, granted });
    for (const [at, filter] of filters.entries()) if ((granted[at] ?? 0) < 0x80) this.#granted.delete(filter);
    this.#asked.delete(packetId);
    this.#outgoing.returnId(packetId);
    this.#askAgain();
  }

  /** Some of it may have been refused, or changed its mind meanwhile. */
  #askAgain(): void {
    if (this.#interests().length > 0) setTimeout(() => this.#askForInterests(), 50);
  }

  #record(happening: DeviceHappening): void {
    this.#history.record({ client: this.clientId, connection: this.#connection, ...happening } as Happening);
  }
}

type DeviceHappening = Happening extends infer Event
  ? Event extends { client: string; connection: number }
    ? Omit<Event, "client" | "connection">
    : never
  : never;
