/**
 * A client that keeps its session as MQTT demands, and comes back whenever it loses its connection: it sends again what
 * was not answered, in order and with DUP, goes on with what it released, remembers QoS 2 ids until PUBREL, and forgets
 * all of it when CONNACK says that there is no session. Everything it does is noted in the history.
 */
import type { IConnackPacket, IPublishPacket, ISubackPacket, IUnsubackPacket, Packet } from "mqtt-packet";
import type { Random } from "../support/random.ts";
import type { Filter, Happening, History, Will } from "./history.ts";
import { Outgoing, type Publish } from "./outgoing.ts";
import { connectPacket, publishPacket, subscribePacket } from "./packets.ts";
import { keyOf } from "./payload.ts";
import type { Clock, Line, Network } from "./site.ts";

export interface Profile {
  readonly clientId: string;
  readonly version: 4 | 5;
  readonly transport: "ws" | "tcp";
  /** 0: its session ends with its connection. NEVER: Clean Session 0 of 3.1.1, or no end in 5.0. */
  readonly expirySeconds: number;
  readonly receiveMaximum: number;
  readonly filters: readonly Filter[];
  readonly will?: Omit<Will, "payload">;
  /** The longest that it takes to acknowledge. */
  readonly answerMs: number;
  /** Takes so many topic aliases, and uses those that it may. Only MQTT 5 has them. */
  readonly topicAliasMaximum?: number;
  /** How often it will not have a delivery, of one. Only MQTT 5 can say so. */
  readonly refuses?: number;
  /** Has one of these Receive Maximums in each connection. Only MQTT 5 can say so. */
  readonly receiveMaxima?: readonly number[];
}

/** Publishes under way at a time, if the broker lets it. */
const WINDOW = 20;
const CONNACK_MS = 12_000;
/** How long it waits for the broker to end the socket after DISCONNECT. */
const PARTING_MS = 5000;
/** It comes back at once until it was thrown out so often in a row, each time within {@link SOON_MS}. */
const PATIENT_TIMES = 20;
const SOON_MS = 1_000;
/** What a client says that will not have a message, and a broker that will not have something: Quota exceeded. */
const REFUSAL = 0x97;
const REFUSALS_MAX = 8;

export type End = "cut" | "end" | "disconnect" | "disconnect with will";

type Acknowledgement = "puback" | "pubrec" | "pubcomp";

interface Answer {
  readonly cmd: Acknowledgement;
  readonly messageId: number;
  readonly reasonCode: number;
}

/** What a device needs of the place where it is. */
export interface Surroundings {
  readonly clock: Clock;
  readonly network: Network;
  readonly history: History;
  readonly random: Random;
}

export class Device {
  readonly profile: Profile;
  readonly #clock: Clock;
  readonly #network: Network;
  readonly #history: History;
  readonly #random: Random;
  readonly #outgoing = new Outgoing();
  /** QoS 2 messages that came and were not released. */
  readonly #held = new Set<number>();
  readonly #wanted = new Map<string, Filter>();
  readonly #granted = new Set<string>();
  /** How often in a row SUBACK refused a filter. */
  readonly #refusals = new Map<string, number>();
  readonly #asked = new Map<number, readonly string[]>();
  readonly #answers: Answer[] = [];
  /** Topics by the alias that the broker gave them in this connection, and aliases that the device gave. */
  readonly #topics = new Map<number, string>();
  readonly #aliases = new Map<string, number>();
  /** Taken over and left open. */
  readonly #leftOpen: Line[] = [];
  #line: Line | undefined;
  #connection = 0;
  /** Waiting for the end of a socket after DISCONNECT. */
  #isParting = false;
  #isConnected = false;
  #isWanted = false;
  #isComing = false;
  #takesOver = false;
  #startsClean = false;
  /** Its session has expired, or was told to end. */
  #isOver = false;
  /** Its session ends with this connection, though others of it do not. */
  #isBrief = false;
  /** It comes once more, to end its session. */
  #isEnding = false;
  #aloneSince = Number.POSITIVE_INFINITY;
  #window = WINDOW;
  #aliasesMax = 0;
  #isPrompt = false;
  /** How often in a row the broker has thrown it out soon. */
  #rejections = 0;
  #connectedMs = 0;
  #isDeaf = false;
  #wills = 0;
  #said = "";

  constructor(profile: Profile, { clock, network, history, random }: Surroundings) {
    this.profile = profile;
    this.#clock = clock;
    this.#network = network;
    this.#history = history;
    this.#random = random;
    for (const filter of profile.filters) this.#wanted.set(filter.filter, filter);
  }

  get clientId(): string {
    return this.profile.clientId;
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  /** The number of its present connection, or of the last one. */
  get connection(): number {
    return this.#connection;
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
    this.#come();
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
    this.#takesOver = true;
    this.#come();
  }

  /** Acknowledges at once from now on. */
  hurry(): void {
    this.#isPrompt = true;
    this.hear();
  }

  /** Acknowledges nothing until it hears again. */
  deafen(): void {
    this.#isDeaf = true;
  }

  hear(): void {
    this.#isDeaf = false;
    this.#sendAnswers();
  }

  /** Comes once more, leaves no session behind, and stays away. */
  endSession(): void {
    this.#isEnding = true;
    this.#startsClean = true;
    this.leave("cut");
    this.come();
  }

  /** It has done that. */
  get hasEnded(): boolean {
    return this.#isEnding && !this.#isWanted;
  }

  /** Ends for good, and every socket with it. */
  stop(): void {
    this.leave("cut");
    this.hangUp();
  }

  /** Lets go of the sockets that it has left open. */
  hangUp(): void {
    for (const line of this.#leftOpen.splice(0)) line.cut();
  }

  /** False if it cannot just now. */
  publish(publish: Publish): boolean {
    if (!this.#isConnected) return false;
    if (publish.qos > 0 && this.#outgoing.size >= this.#window) return false;
    const underway = publish.qos > 0 ? this.#outgoing.publish(publish) : { ...publish, packetId: 0 };
    this.#sendPublish(underway, false);
    return true;
  }

  want(filter: Filter): void {
    this.#wanted.set(filter.filter, filter);
    this.#askForInterests();
  }

  unwant(filter: string): void {
    this.#wanted.delete(filter);
    this.#askForInterests();
  }

  /** Subscribes again to what it has. */
  ask(filter: string): void {
    this.#granted.delete(filter);
    this.#askForInterests();
  }

  // Connecting.

  /** Who is thrown out again and again takes its time, more each time. */
  #comeSoon(): void {
    const times = 2 ** Math.min(Math.max(0, this.#rejections - PATIENT_TIMES), 10);
    this.#clock.after(this.#random.below(60) * times, () => this.#come());
  }

  #come(): void {
    if (this.#isComing) return;
    this.#isComing = true;
    this.#dial();
  }

  #dial(): void {
    if (this.#isParting) return;
    if (!this.#isWanted || (this.#line && !this.#takesOver)) {
      this.#isComing = false;
      return;
    }
    this.#takesOver = false;
    let line: Line | undefined;
    this.#network.dial(this.profile, {
      opened: (opened) => {
        line = opened;
        this.#isComing = false;
        if (this.#isWanted) this.#connect(opened);
        else opened.cut();
      },
      failed: () => this.#clock.after(20 + this.#random.below(100), () => this.#dial()),
      packet: (packet) => this.#packet(line!, packet),
      closed: (detail) => this.#closed(line!, "broker", `${this.#said}${detail}`),
    });
  }

  #connect(line: Line): void {
    if (this.#line) {
      this.#line.abandon();
      this.#leftOpen.push(this.#line);
      this.#lost();
    }
    this.#line = line;
    this.#connection += 1;
    this.#said = "";
    const { clientId, version, receiveMaxima } = this.profile;
    const receiveMaximum = receiveMaxima ? this.#random.of(receiveMaxima) : this.profile.receiveMaximum;
    // The broker counts from when it noticed, and so to a later end.
    if (this.#clock.now - this.#aloneSince > this.profile.expirySeconds * 1000) this.#ended();
    const cleanStart = this.profile.expirySeconds === 0 || this.#startsClean;
    // Clean Session of 3.1.1 is both.
    this.#isBrief = this.#isEnding || (version === 4 && cleanStart);
    const expirySeconds = this.#isBrief ? 0 : this.profile.expirySeconds;
    if (cleanStart) this.#forget();
    // Unless this one is answered, the next one must not find a session that this one began.
    if (this.#isOver) this.#startsClean = true;
    const will = !this.#isEnding &&
      this.profile.will && { ...this.profile.will, payload: `${clientId}!${++this.#wills}` };
    this.#record({ type: "connect", cleanStart, expirySeconds, receiveMaximum, version, ...(will && { will }) });
    line.send(connectPacket({ ...this.profile, receiveMaximum, expirySeconds }, cleanStart, will || undefined));
    this.#clock.after(CONNACK_MS, () => {
      if (this.#line !== line || this.#isConnected) return;
      line.cut();
      this.#closed(line, "client", "no CONNACK");
    });
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
    this.#connectedMs = this.#clock.now;
    this.#startsClean = false;
    this.#record({ type: "connected", sessionPresent: packet.sessionPresent });
    if (this.#isEnding) return this.leave("disconnect");
    const isOver = this.#isOver;
    this.#isOver = false;
    // A session that it knows nothing of any more [MQTT-3.2.2-4].
    if (isOver && packet.sessionPresent) return this.renew("cut");
    if (!packet.sessionPresent) this.#forget();
    this.#window = Math.min(WINDOW, packet.properties?.receiveMaximum ?? WINDOW);
    this.#aliasesMax = Math.min(this.profile.topicAliasMaximum ?? 0, packet.properties?.topicAliasMaximum ?? 0);
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
    this.#line = undefined;
    this.#lost();
    this.#part(line);
  }

  /** Waits for the end of the socket before it comes again, for some time. */
  #part(line: Line): void {
    // Who does not wait for it may be faster with the next one than the broker with this one.
    const waitMs = this.#random.chance(0.2) ? 0 : PARTING_MS;
    const connection = this.#connection;
    this.#isParting = true;
    let isOver = false;
    const parted = (): void => {
      if (isOver) return;
      isOver = true;
      this.#isParting = false;
      if (this.#isComing) this.#dial();
    };
    const timer = this.#clock.after(waitMs, () => {
      line.abandon();
      parted();
    });
    line.whenClosed((inOrder) => {
      timer.cancel();
      // Another one may have been on its way to take it over.
      if (inOrder && this.#connection === connection) {
        this.#record({ type: "closed", by: "broker", detail: "after DISCONNECT" });
      }
      parted();
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
    const isSoon = by === "broker" && this.#clock.now - this.#connectedMs < SOON_MS;
    this.#rejections = isSoon ? this.#rejections + 1 : 0;
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
    if (this.#isConnected) this.#aloneSince = this.#clock.now;
    if (this.#isConnected && this.#isBrief && this.profile.expirySeconds > 0) this.#ended();
    this.#isConnected = false;
    this.#answers.length = 0;
    this.#asked.clear();
    this.#topics.clear();
    this.#aliases.clear();
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
    const { qos, retain, dup, messageId: packetId = 0, properties = {} } = packet;
    const topic = this.#topicOf(packet);
    const { messageExpiryInterval: expirySeconds, subscriptionIdentifier } = properties;
    const identifiers = [subscriptionIdentifier ?? []].flat();
    this.#record({
      type: "received",
      topic,
      payload: keyOf(packet.payload as Buffer),
      qos,
      retain,
      dup,
      packetId,
      ...(expirySeconds !== undefined && { expirySeconds }),
      ...(identifiers.length > 0 && { identifiers }),
    });
    if (qos === 0) return;
    const refuses = this.profile.version === 5 && this.#random.chance(this.profile.refuses ?? 0);
    if (qos === 2 && !refuses) this.#held.add(packetId);
    if (qos === 2 && refuses) this.#held.delete(packetId);
    this.#answer({ cmd: qos === 1 ? "puback" : "pubrec", messageId: packetId, reasonCode: refuses ? REFUSAL : 0 });
  }

  /** The topic by its alias, if that is how it came. An alias that means nothing gives a topic that nobody sends to. */
  #topicOf({ topic, properties }: IPublishPacket): string {
    const alias = properties?.topicAlias;
    if (alias === undefined) return topic;
    if (alias < 1 || alias > (this.profile.topicAliasMaximum ?? 0)) return `topic alias ${alias} beyond the maximum`;
    if (topic !== "") this.#topics.set(alias, topic);
    return this.#topics.get(alias) ?? `topic alias ${alias} of nothing`;
  }

  #released(packetId: number): void {
    this.#record({ type: "released", packetId });
    const reasonCode = this.#held.delete(packetId) || this.profile.version === 4 ? 0 : 0x92;
    this.#answer({ cmd: "pubcomp", messageId: packetId, reasonCode });
  }

  /** In order [MQTT-4.6.0-2], at once or some time later. */
  #answer(answer: Answer): void {
    this.#answers.push(answer);
    if (this.#isPrompt || this.profile.answerMs === 0) return this.#sendAnswers();
    if (this.#answers.length > 1 && !this.#isDeaf) return;
    this.#clock.after(this.#random.below(this.profile.answerMs), () => this.#sendAnswers());
  }

  #sendAnswers(): void {
    if (this.#isDeaf) return;
    for (const answer of this.#answers.splice(0)) {
      const { cmd: by, messageId: packetId, reasonCode: reason } = answer;
      this.#record({ type: "answered", packetId, by, ...(reason >= 0x80 && { reason }) });
      this.#line!.send(answer);
    }
  }

  #sendPublish({ packetId, ...publish }: Publish & { packetId: number }, dup: boolean): void {
    const { topic, payload, qos, retain, expirySeconds } = publish;
    const expires = this.profile.version === 5 && expirySeconds !== undefined;
    this.#record({ type: "publish", topic, payload, qos, retain, dup, packetId, ...(expires && { expirySeconds }) });
    this.#line!.send(publishPacket(publish, packetId, dup, expires, this.#aliasOf(topic)));
  }

  /** Undefined for a topic that has none; `isNew` for one that the broker does not know. */
  #aliasOf(topic: string): { readonly alias: number; readonly isNew: boolean } | undefined {
    const known = this.#aliases.get(topic);
    if (known !== undefined) return { alias: known, isNew: false };
    const isFull = this.#aliases.size >= this.#aliasesMax;
    const oldest = isFull ? this.#aliases.keys().next().value : undefined;
    // Now and then a topic has to give its alias to another one.
    if (isFull && (oldest === undefined || !this.#random.chance(0.3))) return undefined;
    const alias = oldest === undefined ? this.#aliases.size + 1 : this.#aliases.get(oldest)!;
    if (oldest !== undefined) this.#aliases.delete(oldest);
    this.#aliases.set(topic, alias);
    return { alias, isNew: true };
  }

  #acknowledged(by: Acknowledgement, packetId: number, reason: number): void {
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
    const missing = interests.flatMap((filter) => this.#wanted.get(filter) ?? []);
    const unwanted = interests.filter((filter) => !this.#wanted.has(filter));
    // One identifier holds for all of a SUBSCRIBE.
    for (const filters of Map.groupBy(missing, ({ identifier }) => identifier).values()) {
      const packetId = this.#outgoing.takeId();
      this.#asked.set(
        packetId,
        filters.map(({ filter }) => filter),
      );
      this.#record({ type: "subscribe", packetId, filters });
      this.#line!.send(subscribePacket(packetId, filters, this.profile.version));
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
      const code = granted[at] ?? 0x80;
      if (code < 0x80) this.#granted.add(filter);
      this.#refused(filter, code);
    }
    this.#asked.delete(packetId);
    this.#outgoing.returnId(packetId);
    this.#askAgain();
  }

  /** It gives up what it has no quota for; before MQTT 5 it is not told why, and tries for some time. */
  #refused(filter: string, code: number): void {
    const refusals = code < 0x80 ? 0 : (this.#refusals.get(filter) ?? 0) + 1;
    this.#refusals.set(filter, refusals);
    if (code === REFUSAL || refusals >= REFUSALS_MAX) this.#wanted.delete(filter);
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
    if (this.#interests().length > 0) this.#clock.after(50, () => this.#askForInterests());
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
