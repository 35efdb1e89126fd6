/**
 * Did the broker keep its promises? Reads a history and says which it broke. No I/O and no clock: a recorded run and a
 * simulated one are judged alike.
 *
 * | rule | what must hold |
 * |---|---|
 * | lost | an acknowledged QoS 1 or 2 message reaches every session that was subscribed before it was sent, still is, and is connected at the end; of a session that ended, what came later from the same publisher on the same topic proves that nothing before it is on its way; QoS 0 does where nothing is done to anybody |
 * | repeated | a QoS 2 delivery comes once per session, however often its publisher repeats itself, a QoS 0 message once at most; a QoS 1 one once if nothing went wrong; a retained one once per SUBSCRIBE |
 * | order | per publisher, topic and QoS, first deliveries come in the order of sending to whoever was subscribed before, and a will last; what is sent again keeps its order and comes before anything new |
 * | unsent | nothing comes that nobody sent, or on another topic |
 * | uninvited | nothing comes that no subscription of the session asks for, nothing that was over before it asked |
 * | terms | QoS, RETAIN, Subscription Identifiers and No Local are as the subscriptions have them that may be in force |
 * | expiry | Message Expiry Interval comes less the time that the message waited, and nothing comes after it |
 * | retained | a topic's retained message is the last acknowledged one, or one that may have come after it, and every SUBSCRIBE that asks for it gets it |
 * | will lost, will unwanted | a will for each abnormal end, none for DISCONNECT 0, none while the connection lives, and none before its delay or its session is over |
 * | closed | the broker refuses nobody and throws nobody out, but for a later connection of the client |
 * | session present | CONNACK says 1 exactly when there is a session to resume |
 * | packet id | one message at a time under one id, and a QoS 2 id until PUBREL |
 * | receive maximum | what is unanswered on a connection stays within what its CONNECT allows |
 * | dup | set only, and always where that can be known, on what was sent before |
 * | answer | an acknowledgement answers something, and grants what was asked for |
 *
 * What is in doubt is allowed: a publish that was never answered may have arrived or not, a subscription counts from
 * SUBACK and may count from SUBSCRIBE on, a QoS 0 retained message may be lost by a crash. A history that says when the
 * broker was through with a connection (`over`) leaves less in doubt than one that does not.
 */
import { type ClientEvent, type HistoryEvent, NEVER } from "../history.ts";
import type { Came } from "./arrivals.ts";
import { Closings } from "./closings.ts";
import { Connection } from "./connection.ts";
import { clears, type Message, Messages } from "./message.ts";
import { Outbox } from "./outbox.ts";
import { Presence } from "./presence.ts";
import { Retained } from "./retained.ts";
import { Session } from "./session.ts";
import { Verdict, type Violation } from "./verdict.ts";
import { Weather } from "./weather.ts";
import { Wills } from "./wills.ts";

/** Everything that a history breaks. */
export function check(history: readonly HistoryEvent[]): Violation[] {
  const reading = new Reading();
  for (const [index, event] of history.entries()) reading.event(event, index);
  reading.end(history.length);
  return reading.violations;
}

/** What has to come yet, if this is not the end of the history. */
export function owed(history: readonly HistoryEvent[]): Violation[] {
  return check(history).filter(({ rule }) => rule === "lost" || rule === "will lost");
}

/** What goes through the broker, and does not wait, is through after that. */
const PROMPT_MS = 2_000;

interface Client {
  readonly name: string;
  readonly connections: Connection[];
  connection: Connection | undefined;
  session: Session | undefined;
  readonly presence: Presence;
  readonly outbox: Outbox;
  readonly wills: Wills;
  readonly closings: Closings;
}

class Reading {
  readonly #verdict = new Verdict();
  readonly #weather = new Weather();
  readonly #messages = new Messages();
  readonly #retained = new Retained(this.#messages, this.#weather, this.#verdict);
  readonly #clients = new Map<string, Client>();
  readonly #ended: Session[] = [];
  /** The history is told by who looks inside, and so notes when the broker drops QoS 0. */
  #isInside = false;

  get violations(): Violation[] {
    return this.#verdict.violations.toSorted((one, other) => one.index - other.index);
  }

  event(event: HistoryEvent, index: number): void {
    this.#verdict.now = { index, ms: event.at };
    if (event.type === "fault") {
      this.#weather.fault(event.fault, event.at);
      if (event.forgets) this.#forget(event.client);
    } else if (event.type === "kept") {
      this.#retained.kept(event.topic, event.payload);
    } else {
      this.#clientEvent(this.#client(event.client), event);
    }
  }

  end(index: number): void {
    this.#verdict.now = { index, ms: this.#verdict.now.ms };
    for (const client of this.#clients.values()) {
      const { session, connection } = client;
      session?.arrivals.end();
      if (session && connection?.connected) {
        this.#checkComplete(session);
        this.#checkScans(session, connection);
        if (this.#isInside) this.#checkQos0(session, connection);
      }
      this.#checkWills(client);
    }
    for (const session of this.#ended) {
      session.arrivals.end();
      this.#checkGaps(session);
    }
  }

  #clientEvent(client: Client, event: ClientEvent): void {
    if (event.type === "connect") return this.#connect(client, event);
    if (event.type === "over") {
      this.#isInside = true;
      const connection = client.connections.find(({ number }) => number === event.connection);
      // One that was never told that it is welcome does not come back to say that it is over.
      if (connection?.connack) connection.over = this.#verdict.now;
      return;
    }
    const { connection, session } = client;
    // A connection that its client has given up has no say any more.
    if (connection?.number !== event.connection) return;
    switch (event.type) {
      case "connected":
        return this.#connected(client, connection, event.sessionPresent);
      case "refused":
        return client.closings.refused(connection, event.reason);
      case "disconnect":
        connection.disconnect = { ...this.#verdict.now, reason: event.reason };
        if (event.expirySeconds !== undefined) connection.expiryAtEnd = event.expirySeconds;
        return;
      case "closed":
        if (event.by === "broker") client.closings.closed(connection, client.connections, event.detail);
        return this.#ends(client, connection, true);
      case "publish":
        return this.#publish(client, connection, event);
      case "acknowledged":
        return client.outbox.acknowledged(event);
      case "release":
        return client.outbox.released(event.packetId);
      case "subscribe":
        return session?.subscriptions.subscribe(event.packetId, event.filters, connection);
      case "unsubscribe":
        return session?.subscriptions.unsubscribe(event.packetId, event.filters, connection);
      case "subscribed":
      case "unsubscribed":
        return session?.subscriptions.answered(event.packetId, event.granted);
      case "received":
        if (session && connection.connected) return this.#received(client, connection, session, event);
        return this.#verdict.find("uninvited", client.name, "a PUBLISH before CONNACK", event.payload);
      case "released":
        return session?.inbox.released(connection, event.packetId);
      case "answered":
        return session?.inbox.answered(connection, event.packetId, event.by, (event.reason ?? 0) >= 0x80);
    }
  }

  // Connections and sessions.

  #connect(client: Client, event: ClientEvent & { type: "connect" }): void {
    if (client.connection) this.#ends(client, client.connection, false);
    const connection = new Connection(event, this.#verdict.now);
    if (event.cleanStart) this.#sessionEnds(client);
    client.presence.connect(connection);
    client.wills.comes(this.#verdict.now);
    if (event.will) {
      const { topic, payload, qos, retain = false } = event.will;
      const sending = { topic, payload, qos, retain, expirySeconds: undefined };
      const message = this.#messages.send(client.name, sending, true, connection, this.#verdict.now);
      client.wills.connect(event.will, message, connection);
    }
    client.connections.push(connection);
    client.connection = connection;
  }

  #connected(client: Client, connection: Connection, present: boolean): void {
    connection.connack = { ...this.#verdict.now, present };
    client.presence.connected(connection);
    client.wills.connected(connection, this.#verdict.now);
    if (present && client.session) return;
    this.#sessionEnds(client);
    client.session = new Session(client.name, this.#retained, this.#weather, this.#verdict);
  }

  #sessionEnds(client: Client): void {
    client.outbox.clear();
    client.session?.subscriptions.lost();
    if (client.session) this.#ended.push(client.session);
    client.session = undefined;
  }

  /** @param seen the client saw the socket end, and does not just take its place with another one */
  #ends(client: Client, connection: Connection, seen: boolean): void {
    const { now } = this.#verdict;
    client.connection = undefined;
    connection.end = now;
    client.session?.subscriptions.lost();
    client.wills.ended(connection, seen);
    if (client.presence.ended(connection, seen, now)) this.#sessionEnds(client);
  }

  /** What connections knew is lost, of one client or of all. */
  #forget(name: string | undefined): void {
    for (const client of this.#clients.values()) {
      if (name !== undefined && client.name !== name) continue;
      client.presence.forget(this.#verdict.now);
      client.wills.forget(client.connection, this.#verdict.now);
      for (const connection of client.connections) if (!connection.over) connection.killed = true;
    }
  }

  // Messages.

  #publish(client: Client, connection: Connection, event: ClientEvent & { type: "publish" }): void {
    const { packetId, topic, payload, qos, retain, expirySeconds } = event;
    const known = event.dup ? client.outbox.again(packetId) : undefined;
    if (known) {
      known.again = true;
      known.connection = connection;
      return;
    }
    const sending = { topic, payload, qos, retain, expirySeconds };
    const message = this.#messages.send(client.name, sending, false, connection, this.#verdict.now);
    if (qos > 0) client.outbox.sent(packetId, message);
  }

  #received(client: Client, connection: Connection, session: Session, packet: Came["packet"]): void {
    const { topic, payload, qos } = packet;
    const message = payload === "" ? undefined : this.#messages.get(payload);
    const empties = payload === "" && this.#messages.retained(topic).some(clears);
    if (payload === "" ? !empties : message?.topic !== topic || (packet.retain && !message.retain)) {
      const what = `"${payload}" on ${topic} with QoS ${qos}${packet.retain ? " retained" : ""}`;
      return this.#verdict.find("unsent", client.name, what, payload);
    }
    const { now: at } = this.#verdict;
    const order = session.arrivals.count;
    const came: Came = { packet, message, connection, order, at, answeredMs: undefined, refused: false };
    const earlier = client.connections.filter(({ number }) => number < connection.number);
    session.inbox.publish(came, earlier);
  }

  // What has to be there at the end.

  #checkComplete({ client, subscriptions, arrivals }: Session): void {
    for (const message of this.#messages.all) {
      if (!isDue(message) || arrivals.copies(message).length > 0 || !subscriptions.owed(message)) continue;
      const { payload, topic, qos } = message;
      this.#verdict.find("lost", client, `"${payload}" on ${topic} (QoS ${qos}) never came`, payload);
    }
  }

  /** QoS 0 comes too, where there is nothing that it could be lost by. */
  #checkQos0({ client, subscriptions, arrivals }: Session, { connack }: Connection): void {
    for (const message of this.#messages.all) {
      const { isWill, qos, expirySeconds, payload, topic, sent, connection: by } = message;
      if (isWill || qos > 0 || expirySeconds !== undefined || payload === "") continue;
      const toMs = sent.ms + PROMPT_MS;
      if (sent.index < connack!.index || toMs > Math.min(by.endMs, this.#verdict.now.ms)) continue;
      if (arrivals.copies(message).length > 0 || !this.#weather.calm(sent.ms, PROMPT_MS)) continue;
      if (subscriptions.must(message).length === 0) continue;
      this.#verdict.find("lost", client, `"${payload}" on ${topic} (QoS 0) never came`, payload);
    }
  }

  #checkGaps({ client, subscriptions, arrivals }: Session): void {
    for (const message of this.#messages.all) {
      if (!isDue(message) || arrivals.copies(message).length > 0) continue;
      const newest = arrivals.newest(message);
      if (!newest || newest.sent.index < message.sent.index || !subscriptions.owed(message)) continue;
      const { payload, topic } = message;
      this.#verdict.find("lost", client, `"${payload}" on ${topic} never came, and "${newest.payload}" did`, payload);
    }
  }

  /** Every retained message came that a SUBSCRIBE found and that nobody replaced or cleared afterwards. */
  #checkScans({ client, subscriptions, arrivals }: Session, connection: Connection): void {
    for (const topic of this.#messages.retainedTopics) {
      for (const ask of subscriptions.scans(topic, true)) {
        // QoS 0 may be lost with the connection.
        if (ask.connection !== connection && ask.terms!.qos === 0) continue;
        const { messages, none } = this.#retained.candidates(topic, ask.askedAt);
        const [only] = messages;
        if (none || messages.length !== 1 || !only || only.qos === 0) continue;
        if (only.publisher === client && subscriptions.leavesOutSince(ask)) continue;
        const replaced = this.#messages
          .retained(topic)
          .some((one) => one !== only && this.#retained.settledAt(one) >= ask.askedAt);
        if (replaced) continue;
        const came = arrivals.copies(only).some(({ packet, at }) => packet.retain && at.index >= ask.askedAt);
        if (came) continue;
        const what = `"${only.payload}", retained on ${topic}, never came to ${ask.filter}`;
        this.#verdict.find("retained", client, what, only.payload);
      }
    }
  }

  #checkWills({ name, wills, connection: present }: Client): void {
    for (const { message, connection, fate, notBeforeMs } of wills.fates(present)) {
      const what = `the will "${message.payload}" of ${name}`;
      for (const { name: other, session, connection: its } of this.#clients.values()) {
        if (!session) continue;
        const { payload } = message;
        const [first] = session.arrivals.copies(message);
        const came = first !== undefined;
        if (came && fate === "lives") {
          this.#verdict.find("will unwanted", other, `${what}, whose connection lives`, payload);
        } else if (came && fate === "never") {
          this.#verdict.find("will unwanted", other, `${what}, whose end was orderly`, payload);
        } else if (first && first.at.ms < notBeforeMs) {
          const early = Math.round(notBeforeMs - first.at.ms);
          this.#verdict.find("will unwanted", other, `${what} ${early} ms before it was due`, payload);
        }
        if (came || fate !== "must" || !its?.connected || message.qos === 0) continue;
        if (session.subscriptions.owed(message, connection.connect.index)) {
          this.#verdict.find("will lost", other, `${what} never came`, payload);
        }
      }
    }
  }

  #client(name: string): Client {
    let client = this.#clients.get(name);
    if (!client) {
      client = {
        name,
        connections: [],
        connection: undefined,
        session: undefined,
        presence: new Presence(name, this.#verdict),
        outbox: new Outbox(name, this.#verdict),
        wills: new Wills(),
        closings: new Closings(name, this.#verdict),
      };
      this.#clients.set(name, client);
    }
    return client;
  }
}

/** It has to come to whoever was subscribed. */
function isDue({ isWill, qos, acknowledged, expirySeconds, payload }: Message): boolean {
  return !isWill && qos > 0 && acknowledged !== NEVER && expirySeconds === undefined && payload !== "";
}
