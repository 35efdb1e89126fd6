/**
 * A device: a client id with the state of a session as the specification demands it of a client, through any number of
 * connections. What it published and what was not acknowledged is sent again when the session is resumed, and forgotten
 * with everything else when CONNACK says that there is none [MQTT-3.2.2-5].
 */

import { shardOfTopic } from "../../../src/core/shard/placement.ts";
import type { Received } from "../../sim/world/client.ts";
import type { World } from "../../sim/world/world.ts";
import { Arrivals, type Came, type Weather } from "./arrivals.ts";
import { Attempt, type AttemptOptions, type End } from "./attempt.ts";
import { Endings } from "./endings.ts";
import type { History } from "./history.ts";
import { Inbox } from "./inbox.ts";
import { type Lifetime, lifetimeOf } from "./lifetime.ts";
import type { Sent } from "./messages.ts";
import { Outbox, type Outgoing } from "./outbox.ts";
import { connectPacket, disconnectPacket, publishPacket, subscribePacket } from "./packets.ts";
import { Socket } from "./socket.ts";
import { Subscriptions, type Wanted } from "./subscriptions.ts";

/** The messages of all devices, by what they say. */
export interface Post {
  readonly sent: ReadonlyMap<string, Sent>;
  add(sent: Omit<Sent, "text" | "number">): Sent;
}

export interface DeviceHost extends Weather {
  readonly world: World;
  readonly history: History;
  readonly post: Post;
  readonly expirySecondsMax: number;
}

/** What device and broker share from a CONNACK without Session Present on. */
export interface DeviceSession {
  readonly name: string;
  readonly subscriptions: Subscriptions;
  readonly inbox: Inbox;
}

interface Answer {
  readonly cmd: "puback" | "pubrec" | "pubcomp";
  readonly packetId: number;
  readonly reasonCode: number;
}

export interface Publishing {
  readonly topic: string;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  readonly clears: boolean;
  readonly expirySeconds: number | undefined;
}

export class Device {
  readonly id: string;
  readonly attempts: Attempt[] = [];
  readonly sessions: DeviceSession[] = [];
  /** Answers wait until {@link acknowledge}. */
  deaf = false;
  /** When it wants to be connected again. */
  returnMs = 0;
  /** What is known of the ends of its connections. */
  readonly endings: Endings;
  readonly #host: DeviceHost;
  readonly #outbox = new Outbox();
  #answers: Answer[] = [];
  #attempt: Attempt | undefined;
  /** The connection whose CONNACK it heard last. */
  #last: Attempt | undefined;
  #session: DeviceSession | undefined;
  /** The broker may have a session that the device knows nothing of. */
  #unsure = false;
  readonly #rejects: () => boolean;

  constructor(host: DeviceHost, id: string, rejects: () => boolean) {
    this.#host = host;
    this.id = id;
    this.#rejects = rejects;
    this.endings = new Endings(this.attempts, host.world, host.history);
  }

  /** Its present connection, or the last one. */
  get attempt(): Attempt | undefined {
    return this.#attempt;
  }

  get last(): Attempt | undefined {
    return this.#last;
  }

  /** Undefined while it cannot know of one. */
  get session(): DeviceSession | undefined {
    return this.#session;
  }

  get open(): boolean {
    return this.#attempt?.open ?? false;
  }

  /** It neither has a connection nor is about to get one. */
  get away(): boolean {
    return this.#attempt?.end !== undefined || this.#attempt === undefined;
  }

  get unanswered(): number {
    return this.#outbox.size;
  }

  get lifetime(): Lifetime {
    const lifetime = lifetimeOf(this.attempts, this.#last, this.#host.expirySecondsMax, this.#host.world.now);
    return this.#unsure ? { ...lifetime, unsure: true } : lifetime;
  }

  // What it does.

  /** Connects, and lets go of a connection that it still has. Starts clean if it could not agree with the broker else. */
  connect(options: AttemptOptions): Attempt {
    const { world, history, post } = this.#host;
    if (this.#attempt && !this.#attempt.end) this.#end(this.#attempt, "overtaken");
    const clean = options.clean || this.#mustStartClean(options.version);
    const at = history.mark();
    const number = this.attempts.length + 1;
    const attempt = new Attempt(this.id, number, { ...options, clean }, world.limits.inflightMax, at, world.now);
    const ear = {
      heard: (packet: Received) => this.#heard(attempt, packet),
      closed: (code: number) => this.#closed(attempt, code),
    };
    attempt.socket = new Socket(world, ear, this.id, options.version, options.worker);
    this.attempts.push(attempt);
    this.#attempt = attempt;
    this.#answers = [];
    if (clean) this.#forget();
    const { will } = options;
    if (will) {
      attempt.will = post.add({
        clientId: this.id,
        topic: will.topic,
        qos: will.qos,
        retain: will.retain,
        clears: false,
        expirySeconds: undefined,
        willOf: attempt,
        sentAt: at,
        sentMs: world.now,
        ackedAt: undefined,
        ackedMs: undefined,
        attempt,
        link: undefined,
        resent: false,
        once: true,
      });
    }
    history.note(
      attempt.name,
      "connects",
      JSON.stringify(attempt.options),
      attempt.will ? `"${attempt.will.text}"` : "",
    );
    attempt.socket.connect(connectPacket(attempt));
    return attempt;
  }

  publish(publishing: Publishing, payloadBytes: number): void {
    const { world, history, post } = this.#host;
    const attempt = this.#attempt!;
    const shard = shardOfTopic(publishing.topic, world.placement);
    const sent = post.add({
      ...publishing,
      clientId: this.id,
      willOf: undefined,
      sentAt: history.mark(),
      sentMs: world.now,
      ackedAt: undefined,
      ackedMs: undefined,
      attempt,
      link: attempt.socket.driver.links.get(shard),
      resent: false,
      once: publishing.qos !== 1,
    });
    const packetId = sent.qos > 0 ? this.#freeId() : 0;
    history.note(attempt.name, "publishes", `"${sent.text}"`, sent.topic, sent.qos, packetId, sent.retain ? "R" : "");
    const outgoing = { packetId, sent, released: false };
    if (sent.qos > 0) this.#send(attempt, this.#outbox.add(packetId, sent), false, payloadBytes);
    else this.#send(attempt, outgoing, false, payloadBytes);
  }

  subscribe(wanted: readonly Wanted[]): void {
    const { history } = this.#host;
    const attempt = this.#attempt!;
    const messageId = this.#freeId();
    this.#session!.subscriptions.subscribe(messageId, wanted, attempt, history.mark());
    history.note(attempt.name, "subscribes", messageId, JSON.stringify(wanted));
    attempt.socket.send(subscribePacket(messageId, wanted, attempt.options.version));
  }

  unsubscribe(filters: readonly string[]): void {
    const { history } = this.#host;
    const attempt = this.#attempt!;
    const messageId = this.#freeId();
    this.#session!.subscriptions.unsubscribe(messageId, filters, attempt, history.mark());
    history.note(attempt.name, "unsubscribes", messageId, filters.join(", "));
    attempt.socket.send({ cmd: "unsubscribe", messageId, unsubscriptions: filters });
  }

  /** Says what it has kept back, in order. */
  acknowledge(count: number): void {
    const attempt = this.#attempt!;
    if (!attempt.open) return;
    for (const answer of this.#answers.splice(0, count)) this.#answer(attempt, answer);
  }

  /** @param expirySeconds a Session Expiry Interval that is to hold from now on */
  disconnect(reasonCode: 0 | 4, expirySeconds: number | undefined): void {
    const attempt = this.#attempt!;
    attempt.disconnectExpirySeconds = expirySeconds;
    this.#end(attempt, reasonCode === 0 ? "disconnect" : "disconnect with will", expirySeconds ?? "");
    attempt.socket.send(disconnectPacket(reasonCode, expirySeconds, attempt.options.version));
  }

  cut(): void {
    if (!this.#attempt!.end) this.#end(this.#attempt!, "cut");
    this.#attempt!.socket.cut();
  }

  /** Its connections' Worker is about to die. */
  killed(worker: string): void {
    for (const attempt of this.endings.killed(worker)) if (!attempt.end) this.#end(attempt, "kill");
  }

  // What it hears.

  #heard(attempt: Attempt, packet: Received): void {
    const { history, world } = this.#host;
    const at = history.mark();
    const code = packet.reasonCode ?? packet.returnCode ?? 0;
    if (packet.cmd === "connack" && code === 0) {
      attempt.connack = { at, ms: world.now, present: packet.sessionPresent! };
    }
    if (attempt !== this.#attempt || attempt.end) return;
    const { messageId, cmd } = packet;
    if (cmd !== "publish") history.note(attempt.name, "gets", cmd, messageId ?? "", code, packet.sessionPresent ?? "");
    switch (cmd) {
      case "connack":
        this.#connected(attempt, packet, code);
        return;
      case "publish":
        this.#published(attempt, packet, at);
        return;
      case "pubrel": {
        const known = this.#session!.inbox.release(attempt, messageId!);
        this.#reply(attempt, { cmd: "pubcomp", packetId: messageId!, reasonCode: known ? 0 : 0x92 });
        return;
      }
      case "puback":
      case "pubrec":
      case "pubcomp":
        this.#acknowledged(attempt, cmd, messageId!, code, at);
        return;
      case "suback":
      case "unsuback":
        this.#session!.subscriptions.answered(messageId!, packet.granted ?? [], at);
        return;
    }
  }

  #closed(attempt: Attempt, code: number): void {
    const { history } = this.#host;
    history.note(attempt.name, "is closed", code);
    if (attempt.end) return;
    const { driver } = attempt.socket;
    this.#end(attempt, "closed");
    if (this.#mayBeOvertaken(attempt) || attempt.toldNoUnsuback) return;
    throw new Error(`${attempt.name} was closed: ${JSON.stringify(driver.reports)}`);
  }

  /** Among connections that race the broker decides which one is the latest. */
  #mayBeOvertaken(attempt: Attempt): boolean {
    const rivals = this.attempts.filter((other) => other !== attempt && (other.overAt ?? Infinity) > attempt.connectAt);
    return rivals.length > 0 && attempt.socket.driver.reports.some(({ reason }) => reason === 0x8e || reason === 0x83);
  }

  #connected(attempt: Attempt, packet: Received, code: number): void {
    const { world, history } = this.#host;
    if (code !== 0) {
      if (this.#mayBeOvertaken(attempt)) return;
      throw new Error(`${attempt.name} was refused with ${code}`);
    }
    const { version, clean } = attempt.options;
    const lifetime = lifetimeOf(this.attempts.slice(0, -1), this.#last, this.#host.expirySecondsMax, attempt.connectMs);
    const must = !clean && world.now < lifetime.mustMs;
    const may = !clean && attempt.connectMs <= lifetime.mayMs;
    let present = packet.sessionPresent!;
    if (version === 3) {
      if (present) throw new Error(`${attempt.name} is told of a session, which MQTT 3.1 cannot say`);
      // It has to know by itself.
      if (must !== may) return this.#giveUp(attempt);
      present = must;
      attempt.connack = { ...attempt.connack!, present };
    }
    if (present && !may)
      throw new Error(`${attempt.name} found a session that is over since ${this.#ago(lifetime.mayMs)}`);
    if (!present && must)
      throw new Error(`${attempt.name} found no session, which lives for ${this.#ago(lifetime.mustMs)}`);
    this.#checkExpiry(attempt, packet);
    this.#last = attempt;
    if (!present) this.#forget();
    this.#unsure = false;
    if (!present) {
      this.#begin(attempt);
      history.note(attempt.name, "has a new session");
      return;
    }
    if (!this.#session) throw new Error(`${attempt.name} found a session that it does not know`);
    for (const outgoing of this.#outbox.all) {
      const { packetId, sent, released } = outgoing;
      history.note(attempt.name, released ? "releases again" : "publishes again", `"${sent.text}"`, packetId);
      if (released) this.#release(attempt, packetId);
      else this.#send(attempt, outgoing, true, 0);
    }
  }

  #begin(attempt: Attempt): void {
    const { world } = this.#host;
    const name = `${this.id} session ${this.sessions.length + 1}`;
    const subscriptions = new Subscriptions(this.id);
    const arrivals = new Arrivals(name, subscriptions, this.#host);
    this.#session = { name, subscriptions, inbox: new Inbox(world, arrivals, this.#host) };
    this.sessions.push(this.#session);
    this.#host.history.note(attempt.name, "begins", name);
  }

  /** CONNACK says how long the session will be kept if, and only if, that is less than was asked for. */
  #checkExpiry({ name, options }: Attempt, packet: Received): void {
    if (options.version < 5) return;
    const { expirySecondsMax } = this.#host;
    const told = packet.properties?.["sessionExpiryInterval"];
    const expected = (options.expirySeconds ?? 0) > expirySecondsMax ? expirySecondsMax : undefined;
    if (told !== expected) throw new Error(`${name} was told a session expiry of ${String(told)}, not ${expected}`);
  }

  #published(attempt: Attempt, packet: Received, at: number): void {
    const { world, history, post } = this.#host;
    const text = packet.payload!.toString().trim();
    const sent = post.sent.get(text);
    history.note(
      attempt.name,
      "gets",
      `"${text}"`,
      packet.topic,
      packet.qos,
      packet.messageId ?? "",
      packet.dup ? "DUP" : "",
      packet.retain ? "R" : "",
    );
    if (!sent && text !== "") throw new Error(`${attempt.name} got "${text}", which nobody sent`);
    const inbox = this.#session!.inbox;
    const order = inbox.arrivals.all.length;
    const came: Came = { packet, sent, attempt, order, at, ms: world.now, answeredMs: undefined, rejected: false };
    inbox.publish(attempt, came);
    if (packet.qos === 0) return;
    const rejects = attempt.options.version === 5 && this.#rejects();
    const cmd = packet.qos === 1 ? "puback" : "pubrec";
    this.#reply(attempt, { cmd, packetId: packet.messageId!, reasonCode: rejects ? 0x97 : 0 });
  }

  #reply(attempt: Attempt, answer: Answer): void {
    if (this.deaf) this.#answers.push(answer);
    else this.#answer(attempt, answer);
  }

  #answer(attempt: Attempt, { cmd, packetId, reasonCode }: Answer): void {
    const { world, history } = this.#host;
    const inbox = this.#session!.inbox;
    if (cmd === "pubrec") inbox.received(attempt, packetId, reasonCode >= 0x80);
    else inbox.completed(attempt, packetId, world.now);
    history.note(attempt.name, "answers", cmd, packetId, reasonCode);
    attempt.socket.send({ cmd, messageId: packetId, ...(attempt.options.version === 5 && { reasonCode }) });
  }

  #acknowledged(
    attempt: Attempt,
    cmd: "puback" | "pubrec" | "pubcomp",
    packetId: number,
    code: number,
    at: number,
  ): void {
    const outgoing = this.#outbox.get(packetId);
    attempt.answered(cmd, packetId);
    if (!outgoing) throw new Error(`${attempt.name} was sent ${cmd} ${packetId} without need`);
    const { sent } = outgoing;
    // The broker may have completed what it is asked to release again [MQTT-4.3.3-11].
    if (code !== 0 && !(cmd === "pubcomp" && code === 0x92 && attempt.resumed && sent.attempt !== attempt)) {
      throw new Error(`${attempt.name} was answered ${cmd} ${code} for "${sent.text}"`);
    }
    if (cmd === "pubcomp") {
      this.#outbox.remove(outgoing);
      return;
    }
    sent.ackedAt ??= at;
    sent.ackedMs ??= this.#host.world.now;
    if (cmd === "pubrec") {
      outgoing.released = true;
      this.#release(attempt, packetId);
      return;
    }
    this.#outbox.remove(outgoing);
    const shard = shardOfTopic(sent.topic, this.#host.world.placement);
    const link = attempt.socket.driver.links.get(shard);
    sent.once = !sent.resent && link !== undefined && link === sent.link;
  }

  #send(attempt: Attempt, outgoing: Outgoing, dup: boolean, payloadBytes: number): void {
    const { packetId, sent } = outgoing;
    sent.attempt = attempt;
    sent.resent ||= dup;
    attempt.socket.send(publishPacket(outgoing, dup, payloadBytes, attempt.options.version));
    if (sent.qos > 0) attempt.await(sent.qos === 1 ? "puback" : "pubrec", packetId);
  }

  #release(attempt: Attempt, packetId: number): void {
    attempt.await("pubcomp", packetId);
    attempt.socket.send({ cmd: "pubrel", messageId: packetId });
  }

  // What it knows.

  #mustStartClean(version: number): boolean {
    const { now } = this.#host.world;
    const { mustMs, mayMs, unsure } = this.lifetime;
    if (unsure || (!this.#session && now <= mayMs)) return true;
    // MQTT 3.1 is not told whether there is a session.
    return version === 3 && !(mustMs > now + 60_000 || mayMs < now);
  }

  /** Nothing is left of its session here, whatever the broker has. */
  #forget(): void {
    this.#session?.subscriptions.lost(this.#host.history.mark());
    this.#session = undefined;
    this.#outbox.forget();
    // Whoever forgets and is not heard knows less than the broker.
    this.#unsure = true;
  }

  #giveUp(attempt: Attempt): void {
    this.#forget();
    this.#end(attempt, "cut");
    attempt.socket.cut();
  }

  #end(attempt: Attempt, how: End, ...words: unknown[]): void {
    const { history, world } = this.#host;
    attempt.end = { how, at: history.mark(), ms: world.now };
    history.note(attempt.name, "ends:", how, ...words);
    if (attempt === this.#attempt) {
      this.#session?.subscriptions.lost(attempt.end.at);
      this.#answers = [];
    }
  }

  #freeId(): number {
    for (let id = 1; ; id++) {
      if (!this.#outbox.get(id) && !this.#session!.subscriptions.isPending(id)) return id;
    }
  }

  #ago(ms: number): string {
    return Number.isFinite(ms) ? `${(ms - this.#host.world.now) / 1000} s` : String(ms);
  }
}
