/**
 * Drives one connection: gives the core what happens on the client's socket and on the links, and does what the core
 * says. It is the same for WebSocket and TCP; a transport is what differs.
 */

import type { Question } from "../core/authentication/asking.ts";
import type { Arrival } from "../core/authentication/identity.ts";
import { Connection } from "../core/connection/connection.ts";
import type { Effect, LinkName } from "../core/connection/effects.ts";
import type { Stranger } from "../core/strangers.ts";
import { Output } from "../core/connection/output.ts";
import { LINK_VERSIONS } from "../link/records.ts";
import { PING } from "../link/ping.ts";
import { noted, sessionName, shardName } from "../names.ts";
import type { Broker } from "./broker.ts";
import { Journal } from "./journal.ts";

/** The client's socket, as the driver writes to it. */
export interface Transport {
  send(bytes: Uint8Array): void;
  close(code: number, reason: string): void;
  /** Bytes that were sent and have not left. */
  readonly bufferedBytes: number;
}

/** After something was sent, a client counts as busy for this long. */
const BUSY_MS = 5;

/** The longest time that a timer can take. */
const TIMER_MS_MAX = 2 ** 31 - 1;

export class Driver implements Stranger {
  /** Resolves when the client is gone and everything that it left is settled. */
  readonly done: Promise<void>;
  readonly #broker: Broker;
  readonly #arrival: Arrival;
  readonly #journal: Journal;
  readonly #transport: Transport;
  readonly #connection: Connection;
  /** The current socket of each link, or a number while it is being opened. */
  readonly #links = new Map<LinkName, WebSocket | number>();
  #attempts = 0;
  /** When something was sent to the client last. */
  #sentAt = -Infinity;
  /** Answers to the client that wait for those to what has arrived with it. */
  readonly #answers = new Output();
  #timer: { readonly at: number; readonly id: ReturnType<typeof setTimeout> } | undefined;
  /** Counted as one of those that nobody knows yet. */
  #isStranger = true;
  #finish!: () => void;
  #relieved: (() => void) | undefined;

  constructor(broker: Broker, arrival: Arrival, transport: Transport) {
    this.#broker = broker;
    this.#arrival = arrival;
    this.#transport = transport;
    this.done = new Promise((resolve) => (this.#finish = resolve));
    this.#connection = new Connection(
      {
        ...broker.config,
        access: broker.reception,
        arrival,
        door: broker.door,
        linkVersions: LINK_VERSIONS,
        connectionId: `auto-${crypto.randomUUID()}`,
        random: Math.random,
        bufferedBytes: () => transport.bufferedBytes,
      },
      Date.now(),
    );
    const who = () => {
      const { clientId: client, user, tenant } = this.#connection;
      return { client, user, tenant: noted(tenant), address: arrival.address };
    };
    this.#journal = new Journal(broker.refusals, who, console.log);
    this.#arm();
    broker.strangers.comes(this);
  }

  bytes(chunk: Uint8Array): void {
    this.#perform(this.#connection.bytes(chunk, Date.now()), true);
  }

  textFrame(): void {
    this.#perform(this.#connection.textFrame(Date.now()));
  }

  closed(): void {
    this.#perform(this.#connection.clientClosed(Date.now()));
  }

  turnAway(): void {
    this.#perform(this.#connection.turnAway(Date.now()));
  }

  /** Resolves at once, or when the shards have caught up with what the client sent. */
  async room(): Promise<void> {
    if (!this.#connection.congested) return;
    await new Promise<void>((resolve) => (this.#relieved = resolve));
  }

  /** @param answering the effects answer what the client just sent */
  #perform(effects: readonly Effect[], answering = false): void {
    for (const effect of effects) this.#do(effect, answering);
    this.#arm();
    if (this.#isStranger) this.#tellStrangers();
    if (this.#relieved && !this.#connection.congested) {
      this.#relieved();
      this.#relieved = undefined;
    }
  }

  #tellStrangers(): void {
    const { strangers } = this.#broker;
    this.#isStranger = this.#connection.isStranger;
    if (this.#isStranger) strangers.holds(this, this.#connection.heldBytes);
    else strangers.leaves(this);
  }

  #do(effect: Effect, answering: boolean): void {
    switch (effect.type) {
      case "send":
        this.#send(effect.bytes, answering);
        return;
      case "close":
        this.#letOut();
        this.#transport.close(effect.code, effect.reason);
        return;
      case "openLink":
        void this.#openLink(effect.link);
        return;
      case "sendLink":
        this.#sendLink(effect.link, effect.frame);
        return;
      case "pingLink":
        this.#sendLink(effect.link, PING);
        return;
      case "closeLink":
        this.#closeLink(effect.link);
        return;
      case "ask":
        void this.#ask(effect.question);
        return;
      case "denied":
        this.#journal.denied(effect.action, effect.filter, effect.reason, Date.now());
        return;
      case "dropped":
        this.#journal.dropped(effect.qos0, effect.refused);
        return;
      case "undecided":
        this.#journal.note({ event: "undecided", detail: effect.detail });
        return;
      case "report":
        this.#journal.ended(effect.event, effect.reason, effect.detail);
        return;
      case "done":
        if (this.#timer) clearTimeout(this.#timer.id);
        this.#journal.sum();
        this.#finish();
        return;
    }
  }

  async #ask(question: Question): Promise<void> {
    const { reception, turnstile } = this.#broker;
    const { tenant, user } = this.#connection;
    const comer = { tenant, address: this.#arrival.address, first: user === undefined };
    const now = Date.now();
    const ask = () => reception.of(tenant).answer(question, now);
    const answer = await turnstile.pass(question, comer, now, ask);
    this.#perform(this.#connection.answered(answer, Date.now()));
  }

  /** Sends at once; but answers to a burst of packets, each in a frame of its own, leave as one. */
  #send(bytes: Uint8Array, answering: boolean): void {
    const now = Date.now();
    const busy = now - this.#sentAt < BUSY_MS;
    this.#sentAt = now;
    if (!answering || !busy) {
      this.#letOut();
      this.#transport.send(bytes);
      return;
    }
    if (this.#answers.empty) setTimeout(() => this.#letOut(), 0);
    this.#answers.push(bytes);
  }

  /** Sends the answers that were gathered. */
  #letOut(): void {
    const answers = this.#answers.take();
    if (answers) this.#transport.send(answers);
  }

  async #openLink(name: LinkName): Promise<void> {
    const attempt = ++this.#attempts;
    this.#closeLink(name);
    this.#links.set(name, attempt);
    let socket: WebSocket | null = null;
    try {
      const response = await this.#object(name).fetch("https://object/link", { headers: { Upgrade: "websocket" } });
      socket = response.webSocket;
    } catch (error) {
      const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#journal.note({ event: "link not opened", link: name, detail });
    }
    const wanted = this.#links.get(name) === attempt;
    if (!socket || !wanted) {
      socket?.accept();
      socket?.close();
      if (wanted) this.#linkGone(name, attempt);
      return;
    }
    // Compatibility dates since March 2026 deliver a Blob otherwise.
    socket.binaryType = "arraybuffer";
    socket.accept();
    this.#links.set(name, socket);
    const current = socket;
    socket.addEventListener("message", (event) => {
      if (this.#links.get(name) !== current) return;
      if (typeof event.data === "string") this.#connection.linkPong(name, Date.now());
      else this.#perform(this.#connection.linkFrame(name, new Uint8Array(event.data as ArrayBuffer), Date.now()));
    });
    socket.addEventListener("close", () => this.#linkGone(name, current));
    socket.addEventListener("error", () => this.#linkGone(name, current));
    this.#perform(this.#connection.linkOpened(name, Date.now()));
  }

  #object(name: LinkName): Fetcher {
    const { tenant, session } = this.#connection;
    const { SESSIONS, TOPIC_SHARDS } = this.#broker.env;
    return name === "session"
      ? SESSIONS.getByName(sessionName(tenant, session))
      : TOPIC_SHARDS.getByName(shardName(tenant, name));
  }

  #sendLink(name: LinkName, frame: Uint8Array | string): void {
    const socket = this.#links.get(name);
    if (socket === undefined || typeof socket === "number") return;
    try {
      socket.send(frame);
    } catch {
      this.#linkGone(name, socket);
    }
  }

  #closeLink(name: LinkName): void {
    const socket = this.#links.get(name);
    this.#links.delete(name);
    if (socket === undefined || typeof socket === "number") return;
    try {
      socket.close(1000);
    } catch {
      // It is closed already.
    }
  }

  /** The socket closed, unless it was let go of before. */
  #linkGone(name: LinkName, socket: WebSocket | number): void {
    if (this.#links.get(name) !== socket) return;
    this.#closeLink(name);
    this.#perform(this.#connection.linkClosed(name, Date.now()));
  }

  #arm(): void {
    const at = this.#connection.deadline;
    if (at === undefined) return;
    // What is due waits only for what has arrived before, not for a timer that the clock has overtaken.
    const due = at <= Date.now() ? -Infinity : at;
    if (this.#timer && this.#timer.at <= due) return;
    if (this.#timer) clearTimeout(this.#timer.id);
    const id = setTimeout(
      () => {
        this.#timer = undefined;
        this.#perform(this.#connection.tick(Date.now()));
      },
      // A longer one would be over at once; if that is not yet the time, the connection is asked again.
      Math.min(Math.max(0, at - Date.now()), TIMER_MS_MAX),
    );
    this.#timer = { at: due, id };
  }
}
