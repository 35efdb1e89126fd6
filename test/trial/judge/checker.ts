/**
 * Did the broker keep its promises? Reads a history and says which it broke. No I/O and no clock: a recorded run and a
 * simulated one are judged alike.
 *
 * | rule | what must hold |
 * |---|---|
 * | lost | an acknowledged QoS 1 or 2 message reaches every session that was subscribed before it was sent, still is, and is connected at the end; of a session that ended, what came later from the same publisher on the same topic proves that nothing before it is on its way; QoS 0 does where nothing is done to anybody |
 * | repeated | a QoS 2 delivery comes once per session, however often its publisher repeats itself, a QoS 0 message once at most; a QoS 1 one once if nothing went wrong; a retained one once per SUBSCRIBE |
 * | lost, repeated in a share group | such a message reaches somebody, if a session that goes on was in the group all the time; no two members have it, unless one that went had not acknowledged it at QoS 1 |
 * | order | per publisher, topic and QoS, first deliveries come in the order of sending to whoever was subscribed before, and a will last; what is sent again keeps its order and comes before anything new |
 * | unsent | nothing comes that nobody sent, or on another topic, or that the broker has refused to take |
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
 * A broker that reports messages lost to a limit may lose as many, counted for each session or share group.
 *
 * What is in doubt is allowed: a publish that was never answered may have arrived or not, a subscription counts from
 * SUBACK and may count from SUBSCRIBE on, a QoS 0 retained message may be lost by a crash. A history that says when the
 * broker was through with a connection (`over`) leaves less in doubt than one that does not.
 */
import type { ClientEvent, HistoryEvent } from "../history.ts";
import { type Came, TOLD_MS } from "./arrivals.ts";
import { Closings } from "./closings.ts";
import { Connection } from "./connection.ts";
import { Groups } from "./groups.ts";
import { OWN } from "./membership.ts";
import { clears, isDue, Messages } from "./message.ts";
import { Outbox } from "./outbox.ts";
import { Presence } from "./presence.ts";
import { Retained } from "./retained.ts";
import { Session } from "./session.ts";
import { type Rule, Verdict, type Violation } from "./verdict.ts";
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
  return check(history).filter(({ rule }) => LOSSES.includes(rule));
}

const LOSSES: readonly Rule[] = ["lost", "will lost"];
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
  /** Messages that the broker says were lost. */
  #dropped = 0;
  readonly #groups = new Groups(this.#weather, this.#verdict);
  /** Limits are met, so that clients are refused and QoS 0 is dropped. */
  #isLimited = false;
  /** The history is told by who looks inside, and so notes when the broker drops QoS 0. */
  #isInside = false;

  get violations(): Violation[] {
    const { violations } = this.#verdict;
    // Nobody says which messages were lost to a limit, but how many.
    const losses = violations.filter(({ rule }) => LOSSES.includes(rule));
    const reported = new Set(losses.slice(0, this.#dropped));
    return violations.filter((one) => !reported.has(one)).toSorted((one, other) => one.index - other.index);
  }

  event(event: HistoryEvent, index: number): void {
    this.#verdict.now = { index, ms: event.at };
    if (event.type === "fault") {
      this.#weather.fault(event.fault, event.at);
      if (event.forgets) this.#forget(event.client);
    } else if (event.type === "dropped") {
      this.#isLimited = true;
      this.#dropped += event.messages;
      this.#weather.loses = true;
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
      if (session) this.#endSession(session);
      if (session && connection?.connected) {
        this.#checkComplete(session);
        this.#checkScans(session, connection);
        if (this.#isInside && !this.#isLimited) this.#checkQos0(session, connection);
      }
      this.#checkWills(client);
    }
    this.#groups.end(this.#messages.all);
    for (const session of this.#ended) {
      this.#endSession(session);
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
        if (event.by === "broker") {
          if (!this.#isLimited) client.closings.closed(connection, client.connections, event.detail);
          connection.thrownOut = connection.disconnect === undefined;
        }
        // One that a limit has thrown out confirms nothing.
        return this.#ends(client, connection, !this.#isLimited);
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
    for (const earlier of this.#ended) {
      if (earlier.client === client.name) earlier.replaced ??= this.#verdict.now;
    }
    client.session = new Session(client.name, client.connections, this.#retained, this.#weather, this.#verdict);
    this.#groups.add(client.session);
  }

  #sessionEnds(client: Client): void {
    client.outbox.clear();
    client.session?.subscriptions.lost();
    if (client.session) {
      client.session.isOver = true;
      this.#ended.push(client.session);
    }
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
    const came: Came = { packet, message, connection, order, at, answeredMs: undefined, refused: false, way: OWN };
    const earlier = client.connections.filter(({ number }) => number < connection.number);
    session.inbox.publish(came, earlier);
  }

  // What has to be there at the end.

  #endSession({ client, arrivals }: Session): void {
    arrivals.end();
    for (const message of arrivals.messages) {
      // A link that broke may have lost the answer to the first time.
      if (!message.refused || message.again || this.#weather.disturbed(message.sent.ms, message.refused.ms)) continue;
      const { payload, topic } = message;
      const [came] = arrivals.copies(message);
      this.#verdict.find("unsent", client, `"${payload}" on ${topic} came, and was refused`, payload, came!.at);
    }
  }

  #checkComplete({ client, subscriptions, arrivals }: Session): void {
    for (const message of this.#messages.all) {
      if (!isDue(message) || arrivals.own(message).length > 0 || !subscriptions.owed(message)) continue;
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
      // The shards of a session that goes on are told of its connection only then.
      if (connack!.present && sent.ms < connack!.ms + TOLD_MS) continue;
      if (arrivals.own(message).length > 0 || !this.#weather.calm(sent.ms, PROMPT_MS)) continue;
      if (subscriptions.must(message).length === 0) continue;
      this.#verdict.find("lost", client, `"${payload}" on ${topic} (QoS 0) never came`, payload);
    }
  }

  #checkGaps({ client, subscriptions, arrivals }: Session): void {
    for (const message of this.#messages.all) {
      if (!isDue(message) || arrivals.own(message).length > 0) continue;
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
        const came = arrivals.own(only).some(({ packet, at }) => packet.retain && at.index >= ask.askedAt);
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
        if (fate !== "must" || !its?.connected || message.qos === 0 || session.arrivals.own(message).length > 0)
          continue;
        if (session.subscriptions.owed(message, connection.connect.index)) {
          this.#verdict.find("will lost", other, `${what} never came`, payload);
        }
      }
      if (fate !== "must" || message.qos === 0) continue;
      for (const group of this.#groups.missing(message, connection.connect.index)) {
        this.#verdict.find("will lost", group, `${what} never came to anybody`, message.payload);
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
