/**
 * A client without manners: in each connection it does one thing that it must not do, or that nobody expects, and wants
 * to be told what the specification has for it, in time. Nothing of it comes to anybody else, but a will: a connection
 * that breaks the protocol has not ended well, so its will is due, and only connections with a will are in the history.
 *
 * What fails meanwhile may end any connection: a socket that breaks, and a broker that says it is not well, prove nothing.
 */

import type { IConnackPacket, Packet } from "mqtt-packet";
import type { Profile, Surroundings } from "./device.ts";
import type { Rule, Violation } from "./judge/verdict.ts";
import { type Answer, HARMLESS, type Offence, OFFENCES, type Version } from "./offences.ts";
import { connectPacket } from "./packets.ts";
import type { Line, Timer } from "./site.ts";

export interface RudeProfile {
  readonly clientId: string;
  /** Time between two connections, on average. */
  readonly everyMs: number;
  /** Where its wills go. */
  readonly willTopic: string;
}

/** The broker says so within this time when it knows. */
const TOLD_MS = 10_000;
/** What takes an object may take until that is given up. */
const SERVED_MS = 45_000;
const CONNACK_MS = 20_000;
/** Server unavailable, busy, shutting down: of these nobody knows the connection's fate. */
const UNWELL: readonly number[] = [0x88, 0x89, 0x8b];
/** The same before MQTT 5. */
const UNAVAILABLE = 3;
/** A socket that nobody closed. */
const BROKEN = "1006";
const RULE: Rule = "offence";

/** One connection and what it is about. */
interface Visit {
  readonly offence: Offence;
  readonly version: Version;
  readonly answer: Answer;
  readonly will: boolean;
  readonly line: Line;
  /** Packets that have come. */
  readonly came: string[];
  isConnected: boolean;
  /** It has done what it came for. */
  hasOffended: boolean;
  timer: Timer | undefined;
}

export class Rude {
  readonly violations: Violation[] = [];
  /** How often it was told what it should be. */
  told = 0;
  readonly #profile: RudeProfile;
  readonly #surroundings: Surroundings;
  #visit: Visit | undefined;
  #stopped = false;
  /** It comes once more, because an object may not know yet how its last connection ended, and behaves. */
  #isLeaving = false;
  /** CONNECTs so far, which is how those who look inside count connections. */
  #connections = 0;

  constructor(profile: RudeProfile, surroundings: Surroundings) {
    this.#profile = profile;
    this.#surroundings = surroundings;
  }

  get clientId(): string {
    return this.#profile.clientId;
  }

  /** It has left for good. */
  get hasLeft(): boolean {
    return this.#stopped;
  }

  start(): void {
    const { clock, random } = this.#surroundings;
    clock.after(random.next() * 2 * this.#profile.everyMs, () => this.#come());
  }

  /** Comes once more, and leaves. */
  leave(): void {
    this.#isLeaving = true;
  }

  /** Lets go of its socket. */
  hangUp(): void {
    this.#stopped = true;
    if (this.#visit) this.#cut(this.#visit);
  }

  #come(): void {
    if (this.#stopped) return;
    const { network, random } = this.#surroundings;
    const offence = this.#isLeaving ? HARMLESS : random.of(OFFENCES);
    const version = random.of(offence.versions ?? ([4, 5] as const));
    const will = !this.#isLeaving && offence.when !== "first" && random.chance(0.3);
    let visit: Visit | undefined;
    network.dial(this.#device(version), {
      opened: (line) => {
        if (this.#stopped) return line.cut();
        const answer = offence.answer(version);
        const came: string[] = [];
        const state = { isConnected: false, hasOffended: false, timer: undefined };
        this.#visit = visit = { offence, version, answer, will, line, came, ...state };
        this.#begin(visit);
      },
      failed: () => this.start(),
      packet: (packet) => visit && this.#packet(visit, packet),
      closed: (detail) => visit && this.#closed(visit, detail),
    });
  }

  #device(version: Version): Profile {
    const { clientId } = this.#profile;
    return { clientId, version, transport: "ws", expirySeconds: 0, receiveMaximum: 65_535, filters: [], answerMs: 0 };
  }

  #begin(visit: Visit): void {
    const { offence, version } = visit;
    if (offence.when === "first") return this.#offend(visit, 0);
    this.#connections += 1;
    const { clientId, willTopic } = this.#profile;
    const will = visit.will
      ? { topic: willTopic, payload: `${clientId}!${this.#connections}`, qos: 1 as const, delaySeconds: 0 }
      : undefined;
    const terms = { cleanStart: true, expirySeconds: 0, receiveMaximum: 65_535, version, ...(will && { will }) };
    this.#record(visit, { type: "connect", ...terms, rude: true });
    const connect = connectPacket(this.#device(version), true, will);
    visit.line.send({ ...connect, keepalive: offence.keepAliveSeconds ?? 0 } as Packet);
    if (offence.when === "at once") return this.#offend(visit, 0);
    visit.timer = this.#surroundings.clock.after(CONNACK_MS, () => this.#cut(visit));
  }

  #offend(visit: Visit, receiveMaximum: number): void {
    const { offence, version, line, answer } = visit;
    const { clock, random } = this.#surroundings;
    visit.hasOffended = true;
    visit.timer?.cancel();
    line.raw(offence.bytes({ version, random, receiveMaximum }));
    const withinMs = (offence.afterMs ?? 0) + (answer.type === "served" ? SERVED_MS : TOLD_MS);
    visit.timer = clock.after(withinMs, () => {
      this.#find(visit, `was not told within ${withinMs} ms`);
      this.#cut(visit);
    });
  }

  #packet(visit: Visit, packet: Packet): void {
    if (this.#visit !== visit) return;
    if (packet.cmd === "connack") return this.#connack(visit, packet);
    const id = "messageId" in packet && packet.messageId !== undefined ? ` ${packet.messageId}` : "";
    const reason = packet.cmd === "disconnect" ? ` 0x${(packet.reasonCode ?? 0).toString(16)}` : "";
    visit.came.push(`${packet.cmd}${id}${reason}`);
    const { answer, came } = visit;
    if (answer.type === "served" && visit.isConnected && answer.with.every((one) => came.includes(one))) {
      this.told += 1;
      if (visit.offence === HARMLESS && this.#isLeaving) this.#stopped = true;
      this.#record(visit, { type: "disconnect", reason: 0 });
      visit.line.send({ cmd: "disconnect", reasonCode: 0 });
      // Its next CONNECT may be faster than this DISCONNECT, so that nothing is known of its end.
      this.#hangUp(visit, "end");
    }
  }

  #connack(visit: Visit, packet: IConnackPacket): void {
    const { version, answer } = visit;
    // What is not spoken is refused in the newest form, and what comes before 3.1.1 in its.
    const reason = (version === 5 ? packet.reasonCode : packet.returnCode) ?? 0;
    visit.came.push(`connack 0x${reason.toString(16)}`);
    if (reason !== 0) {
      if (answer.type === "connack" || visit.offence.when === "first") return;
      if (version === 5 ? !UNWELL.includes(reason) : reason !== UNAVAILABLE) {
        this.#find(visit, `was refused with 0x${reason.toString(16)}`);
      }
      return this.#cut(visit);
    }
    visit.isConnected = true;
    if (packet.sessionPresent) this.#find(visit, "was given a session");
    this.#record(visit, { type: "connected", sessionPresent: packet.sessionPresent });
    if (visit.offence.when === "connected") this.#offend(visit, packet.properties?.receiveMaximum ?? 65_535);
  }

  #closed(visit: Visit, detail: string): void {
    if (this.#visit !== visit) return;
    this.#judge(visit, detail);
    this.#record(visit, { type: "closed", by: "broker", detail });
    this.#over(visit);
  }

  /** The socket is closed: was it told what it should be? */
  #judge(visit: Visit, detail: string): void {
    const { answer, version, came, isConnected } = visit;
    const last = came.at(-1) ?? "nothing";
    const says = (reason: number): boolean => last === `disconnect 0x${reason.toString(16)}`;
    if (detail === BROKEN || UNWELL.some(says) || !visit.hasOffended) return;
    // One that has not got as far may be closed when its session object is away [3.1.1].
    if (version === 4 && (answer.type === "served" || !isConnected) && visit.offence.when !== "first") return;
    const right =
      answer.type === "closed"
        ? came.length === 0
        : answer.type === "connack"
          ? last === `connack 0x${answer.reason.toString(16)}`
          : answer.type === "disconnect" && (version === 4 ? !last.startsWith("disconnect") : says(answer.reason));
    if (right) this.told += 1;
    else this.#find(visit, `was closed with ${detail} after ${last}`);
  }

  #cut(visit: Visit): void {
    this.#record(visit, { type: "closed", by: "client", detail: "cut" });
    this.#hangUp(visit, "cut");
  }

  #hangUp(visit: Visit, how: "cut" | "end"): void {
    visit.line.abandon();
    visit.line[how]();
    this.#over(visit);
  }

  #over(visit: Visit): void {
    visit.timer?.cancel();
    this.#visit = undefined;
    if (!this.#stopped) this.start();
  }

  #find({ offence, version, answer }: Visit, what: string): void {
    const { clientId } = this.#profile;
    const due = "reason" in answer ? `${answer.type} 0x${answer.reason.toString(16)}` : answer.type;
    const says = `${clientId}: ${offence.name} (${version === 5 ? "5.0" : "3.1.1"}) ${what}; due is: ${due}`;
    const index = this.#surroundings.history.events.length;
    this.violations.push({ rule: RULE, client: clientId, says, index });
  }

  #record({ will }: Visit, happening: Record<string, unknown> & { readonly type: string }): void {
    if (!will) return;
    const { clientId } = this.#profile;
    const event = { client: clientId, connection: this.#connections, ...happening };
    this.#surroundings.history.record(event as unknown as Parameters<Surroundings["history"]["record"]>[0]);
  }
}
