/**
 * Did the broker keep its promises? Reads a history and says which it broke. No I/O and no clock: a recorded run and a
 * simulated one are judged alike.
 *
 * | rule | what must hold |
 * |---|---|
 * | lost | an acknowledged QoS 1 or 2 message reaches every session that was subscribed before it was sent, still is, and is connected at the end; of a session that ended, what came later from the same publisher on the same topic proves that nothing before it is on its way |
 * | repeated | a QoS 2 delivery comes once per session, however often its publisher repeats itself, a QoS 0 message once at most; a retained QoS 2 one once per SUBSCRIBE |
 * | order | per publisher, topic and QoS, first deliveries come in the order of sending to whoever was subscribed before; a repeated one may come any time |
 * | unsent | nothing comes that nobody sent, on another topic, or with a higher QoS |
 * | uninvited | nothing comes that no subscription of the session asks for, nothing that was over before it asked |
 * | retained | a topic's retained message is the last acknowledged one, or one that may have come after it |
 * | will lost, will unwanted | a will for each abnormal end, none for DISCONNECT 0 and none while the connection lives |
 * | session present | CONNACK says 1 exactly when there is a session to resume |
 * | packet id | one message at a time under one id, and a QoS 2 id until PUBREL |
 * | receive maximum | what is unanswered on a connection stays within what its CONNECT allows |
 * | dup | set only, and always where that can be known, on what was sent before |
 * | answer | an acknowledgement answers something |
 *
 * What is in doubt is allowed: a publish that was never answered may have arrived or not, a subscription counts from
 * SUBACK and may count from SUBSCRIBE on, a QoS 0 retained message may be lost by a crash.
 */
import { NEVER, type ClientEvent, type HistoryEvent, type Qos, type Will } from "./history.ts";

type Rule =
  | "lost"
  | "repeated"
  | "order"
  | "unsent"
  | "uninvited"
  | "retained"
  | "will lost"
  | "will unwanted"
  | "session present"
  | "packet id"
  | "receive maximum"
  | "dup"
  | "answer";

export interface Violation {
  readonly rule: Rule;
  /** The client that saw it, or should have. */
  readonly client: string;
  readonly payload?: string;
  readonly says: string;
  /** Where in the history it was seen; what never came is missed at its end. */
  readonly index: number;
}

/** Everything that a history breaks, in the order in which it shows. */
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

export function matches(filter: string, topic: string): boolean {
  const levels = topic.split("/");
  const wanted = filter.split("/");
  for (const [at, level] of wanted.entries()) {
    if (level === "#") return true;
    if (at >= levels.length || (level !== "+" && level !== levels[at])) return false;
  }
  return wanted.length === levels.length;
}

/** Slack for what clients and broker see at different times: how long a session has been alone, for one. */
const DOUBT_MS = 1000;
/** As long as a connection may need to settle what its client left; what is forgotten meanwhile is forgiven. */
const SETTLING_MS = 5000;

interface Message {
  readonly publisher: string;
  readonly topic: string;
  readonly payload: string;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly isWill: boolean;
  /** When the broker may have had it first. */
  readonly sent: number;
  /** When the broker first said that it owns it, and when it last did. */
  acknowledged: number;
  done: number;
}

interface Subscription {
  readonly filter: string;
  qos: Qos;
  readonly asked: number;
  /** SUBACK, UNSUBSCRIBE and UNSUBACK; never, as long as there was none. */
  from: number;
  until: number;
  gone: number;
}

interface Session {
  readonly client: string;
  connections: number;
  readonly subscriptions: Subscription[];
  /** QoS 2 messages that came and were not released yet: a client keeps them across connections. */
  readonly held: Map<number, string>;
  readonly came: Map<Message, { times: number; exactly: boolean }>;
  readonly retainedCame: Map<Message, number>;
  /** The newest message that came, per publisher, topic and QoS. */
  readonly newest: Map<string, Message>;
  readonly matching: Map<string, Subscription[]>;
}

interface Connection {
  readonly number: number;
  readonly expirySeconds: number;
  readonly receiveMaximum: number;
  readonly cleanStart: boolean;
  readonly will: WillStory | undefined;
  connected: boolean;
  disconnectedAt: number | undefined;
  expiryAtEnd: number;
  quota: number;
  readonly inflight: Map<number, string>;
  readonly asking: Map<number, Subscription[]>;
}

interface WillStory {
  readonly will: Will;
  readonly message: Message;
  readonly connect: number;
  fate: "may" | "must" | "never";
  /** An abnormal end whose delay runs. */
  endedAt: number | undefined;
  /** A DISCONNECT that forbids it. */
  disconnectedAt: number | undefined;
  /** Whoever was to settle the DISCONNECT has lost its memory. */
  forgotten: boolean;
}

interface Client {
  readonly name: string;
  connection: Connection | undefined;
  session: Session | undefined;
  /** Is there a session to resume? */
  exists: "yes" | "no" | "maybe";
  endedAt: number;
  expirySeconds: number;
  readonly wills: WillStory[];
  readonly outgoing: Map<number, { message: Message; phase: "sent" | "received" | "released" }>;
}

class Reading {
  readonly violations: Violation[] = [];
  readonly #clients = new Map<string, Client>();
  readonly #messages = new Map<string, Message>();
  readonly #retained = new Map<string, Message[]>();
  readonly #ended: Session[] = [];
  #index = 0;
  #at = 0;

  event(event: HistoryEvent, index: number): void {
    this.#index = index;
    this.#at = event.at;
    if (event.type === "fault") {
      if (event.forgets) this.#forget(event.client);
    } else if (event.type === "kept") {
      this.#kept(event.topic, event.payload);
    } else {
      this.#clientEvent(this.#client(event.client), event);
    }
  }

  end(index: number): void {
    this.#index = index;
    for (const client of this.#clients.values()) {
      if (client.connection?.connected && client.session) this.#complete(client.session);
      for (const story of client.wills) this.#willTold(client, story);
    }
    for (const session of this.#ended) this.#withoutGaps(session);
  }

  #clientEvent(client: Client, event: ClientEvent): void {
    if (event.type === "connect") return this.#connect(client, event);
    const { connection } = client;
    // A connection that its client has given up has no say any more.
    if (connection?.number !== event.connection) return;
    const { session } = client;
    switch (event.type) {
      case "connected":
        return this.#connected(client, connection, event.sessionPresent);
      case "refused":
      case "over":
        return;
      case "disconnect":
        connection.disconnectedAt = this.#at;
        if (event.expirySeconds !== undefined) connection.expiryAtEnd = event.expirySeconds;
        if (event.reason === 0 && connection.will) connection.will.disconnectedAt = this.#at;
        return;
      case "closed":
        return this.#ends(client, connection, true);
      case "publish":
        return this.#publish(client, event);
      case "acknowledged":
        return this.#acknowledged(client, event);
      case "release": {
        const publish = client.outgoing.get(event.packetId);
        if (publish) publish.phase = "released";
        return;
      }
      case "subscribe": {
        const asked = event.filters.map(({ filter, qos }) => subscription(filter, qos, this.#index));
        session?.subscriptions.push(...asked);
        session?.matching.clear();
        connection.asking.set(event.packetId, asked);
        return;
      }
      case "subscribed":
        for (const [at, asked] of (connection.asking.get(event.packetId) ?? []).entries()) {
          const granted = event.granted[at] ?? 0x80;
          if (granted < 0x80) {
            asked.from = this.#index;
            asked.qos = granted as Qos;
          } else {
            asked.until = asked.gone = this.#index;
          }
        }
        return;
      case "unsubscribe": {
        const left = session?.subscriptions.filter(({ filter }) => event.filters.includes(filter)) ?? [];
        for (const leaving of left) leaving.until = Math.min(leaving.until, this.#index);
        connection.asking.set(event.packetId, left);
        return;
      }
      case "unsubscribed":
        if (event.granted.some((code) => code >= 0x80)) return;
        for (const left of connection.asking.get(event.packetId) ?? []) left.gone = Math.min(left.gone, this.#index);
        return;
      case "received":
        if (session === undefined || !connection.connected) {
          this.#violation("uninvited", client, "a PUBLISH before CONNACK", event.payload);
          return;
        }
        return this.#received(client, connection, session, event);
      case "released":
        session?.held.delete(event.packetId);
        return;
      case "answered":
        if (event.by === "pubrec") return;
        connection.inflight.delete(event.packetId);
        connection.quota = Math.min(connection.receiveMaximum, connection.quota + 1);
        return;
    }
  }

  // Connections and sessions.

  #connect(client: Client, event: ClientEvent & { type: "connect" }): void {
    if (client.connection) this.#ends(client, client.connection, false);
    if (event.cleanStart) {
      this.#sessionEnds(client);
      if (client.exists === "yes") client.exists = "maybe";
    }
    let story: WillStory | undefined;
    if (event.will) {
      const { topic, payload, qos } = event.will;
      const message = this.#message(client, { topic, payload, qos, retain: false }, true);
      story = {
        will: event.will,
        message,
        connect: this.#index,
        fate: "may",
        endedAt: undefined,
        disconnectedAt: undefined,
        forgotten: false,
      };
      client.wills.push(story);
    }
    client.connection = {
      number: event.connection,
      expirySeconds: event.expirySeconds,
      expiryAtEnd: event.expirySeconds,
      receiveMaximum: event.receiveMaximum,
      cleanStart: event.cleanStart,
      will: story,
      connected: false,
      disconnectedAt: undefined,
      quota: event.receiveMaximum,
      inflight: new Map(),
      asking: new Map(),
    };
  }

  #connected(client: Client, connection: Connection, sessionPresent: boolean): void {
    connection.connected = true;
    const aloneMs = this.#at - client.endedAt;
    const expired = client.exists === "yes" && aloneMs > client.expirySeconds * 1000 - DOUBT_MS;
    const exists = expired ? "maybe" : client.exists;
    if (sessionPresent && (connection.cleanStart || exists === "no")) {
      const why = connection.cleanStart ? "after a clean start" : "where there was no session";
      this.#violation("session present", client, `1 ${why}`);
    }
    if (!sessionPresent && !connection.cleanStart && exists === "yes") {
      this.#violation("session present", client, `0 after ${Math.round(aloneMs)} ms alone, and the session is lost`);
    }
    for (const story of client.wills) this.#willDelayed(story, sessionPresent);
    if (!sessionPresent || !client.session) {
      this.#sessionEnds(client);
      client.session = {
        client: client.name,
        connections: 0,
        subscriptions: [],
        held: new Map(),
        came: new Map(),
        retainedCame: new Map(),
        newest: new Map(),
        matching: new Map(),
      };
    }
    client.session.connections += 1;
    client.exists = "yes";
    client.expirySeconds = connection.expirySeconds;
  }

  #sessionEnds(client: Client): void {
    client.outgoing.clear();
    if (client.session) this.#ended.push(client.session);
    client.session = undefined;
  }

  /** @param seen the client saw the socket end, and does not just take its place with another one */
  #ends(client: Client, connection: Connection, seen: boolean): void {
    client.connection = undefined;
    if (connection.connected) {
      client.endedAt = connection.disconnectedAt ?? this.#at;
      client.expirySeconds = connection.expiryAtEnd;
    } else if (connection.expirySeconds > 0 && client.exists === "no") {
      client.exists = "maybe";
    }
    const story = connection.will;
    if (story && connection.connected) {
      // Until then the next connection may be faster than the DISCONNECT, and a takeover is an abnormal end.
      if (story.disconnectedAt !== undefined) story.fate = seen ? "never" : "may";
      else if (story.will.delaySeconds > 0) story.endedAt = this.#at;
      else story.fate = "must";
    }
    if (connection.expiryAtEnd > 0) return;
    // Until the broker has noticed, it may still know it.
    client.exists = (seen && connection.disconnectedAt !== undefined) || client.exists === "no" ? "no" : "maybe";
    this.#sessionEnds(client);
  }

  /** What a connection knew is lost, a DISCONNECT among it that it had not settled. */
  #forget(name: string | undefined): void {
    for (const client of this.#clients.values()) {
      if (name !== undefined && client.name !== name) continue;
      if (client.exists === "no" && this.#at - client.endedAt < SETTLING_MS) client.exists = "maybe";
      for (const story of client.wills) {
        const settled = story.disconnectedAt !== undefined && this.#at - story.disconnectedAt > SETTLING_MS;
        const over = story.disconnectedAt === undefined && client.connection?.will !== story;
        if (!settled && !over) story.forgotten = true;
      }
    }
  }

  // Wills.

  #willDelayed(story: WillStory, sessionPresent: boolean): void {
    if (story.endedAt === undefined) return;
    const aloneMs = this.#at - story.endedAt;
    const delayMs = story.will.delaySeconds * 1000;
    if (!sessionPresent || aloneMs > delayMs + SETTLING_MS) story.fate = "must";
    else if (aloneMs < delayMs - DOUBT_MS) story.fate = "never";
    story.endedAt = undefined;
  }

  #willTold(client: Client, { message, connect, ...story }: WillStory): void {
    const fate = story.fate === "never" && story.disconnectedAt !== undefined && story.forgotten ? "may" : story.fate;
    const living = client.connection?.will?.message === message;
    for (const other of this.#clients.values()) {
      const { session } = other;
      if (!session) continue;
      const came = session.came.has(message);
      if (came && (fate === "never" || living)) {
        const why = living ? "connection lives" : "end was orderly";
        this.#violation(
          "will unwanted",
          other,
          `the will "${message.payload}" of ${client.name}, whose ${why}`,
          message.payload,
        );
      }
      if (came || fate !== "must" || living || !other.connection?.connected || message.qos === 0) continue;
      if (asks(session, message.topic).some(({ from, until, qos }) => from < connect && until === NEVER && qos > 0)) {
        this.#violation(
          "will lost",
          other,
          `the will "${message.payload}" of ${client.name} never came`,
          message.payload,
        );
      }
    }
  }

  // Messages to the broker.

  #message(
    client: Client,
    publish: { topic: string; payload: string; qos: Qos; retain: boolean },
    isWill: boolean,
  ): Message {
    const { topic, payload, qos, retain } = publish;
    const message: Message = {
      publisher: client.name,
      topic,
      payload,
      qos,
      retain,
      isWill,
      sent: this.#index,
      acknowledged: NEVER,
      done: NEVER,
    };
    if (retain) {
      const retained = this.#retained.get(topic);
      if (retained) retained.push(message);
      else this.#retained.set(topic, [message]);
    }
    if (payload === "") return message;
    if (this.#messages.has(payload)) throw new Error(`the history has two messages "${payload}"`);
    this.#messages.set(payload, message);
    return message;
  }

  #publish(client: Client, event: ClientEvent & { type: "publish" }): void {
    const known = client.outgoing.get(event.packetId);
    if (event.dup && known) {
      known.phase = "sent";
      return;
    }
    const message = this.#message(client, event, false);
    if (event.qos > 0) client.outgoing.set(event.packetId, { message, phase: "sent" });
  }

  #acknowledged(client: Client, event: ClientEvent & { type: "acknowledged" }): void {
    const { packetId, by, reason } = event;
    const publish = client.outgoing.get(packetId);
    const awaited =
      publish && (by === "pubcomp" ? publish.phase === "released" : publish.phase === "sent") && publish.message;
    if (!awaited || (by === "puback") !== (awaited.qos === 1)) {
      this.#violation("answer", client, `${by.toUpperCase()} ${packetId} answers nothing`, publish?.message.payload);
      return;
    }
    if (by !== "pubcomp" && reason < 0x80) {
      awaited.acknowledged = Math.min(awaited.acknowledged, this.#index);
      awaited.done = this.#index;
    }
    if (by === "pubrec" && reason < 0x80) publish.phase = "received";
    else client.outgoing.delete(packetId);
  }

  // Messages from the broker.

  #received(client: Client, connection: Connection, session: Session, event: ClientEvent & { type: "received" }): void {
    const { topic, payload, qos, packetId, dup } = event;
    if (dup && (qos === 0 || session.connections === 1)) {
      this.#violation("dup", client, `set on what the session's first connection was sent, QoS ${qos}`, payload);
    }
    if (qos > 0) {
      connection.quota -= 1;
      if (connection.quota < 0) {
        this.#violation("receive maximum", client, `more than ${connection.receiveMaximum} unanswered`, payload);
      }
      const inflight = connection.inflight.get(packetId);
      if (inflight !== undefined) {
        this.#violation("packet id", client, `${packetId} is in flight with "${inflight}"`, payload);
      }
      connection.inflight.set(packetId, payload);
    }
    if (qos === 2) {
      const content = `${topic} ${payload}`;
      const held = session.held.get(packetId);
      if (held === content) {
        if (!dup) this.#violation("dup", client, `not set, and ${packetId} was sent before`, payload);
        return;
      }
      if (held !== undefined) {
        this.#violation("packet id", client, `${packetId} was not released and is "${held}"`, payload);
      }
      session.held.set(packetId, content);
    }
    this.#arrived(client, session, event);
  }

  #arrived(client: Client, session: Session, event: ClientEvent & { type: "received" }): void {
    const { topic, payload, qos, retain } = event;
    if (payload === "") {
      if (!this.#retained.get(topic)?.some((message) => message.payload === "")) {
        this.#violation("unsent", client, `an empty message on ${topic}`, payload);
      }
      return;
    }
    const message = this.#messages.get(payload);
    if (!message || message.topic !== topic || message.qos < qos || (retain && !message.retain)) {
      const retained = retain ? " retained" : "";
      this.#violation("unsent", client, `"${payload}" on ${topic} with QoS ${qos}${retained}`, payload);
      return;
    }
    const asking = asks(session, topic).filter(({ gone }) => retain || gone > message.sent);
    if (!asking.some(({ asked }) => retain || asked < message.done)) {
      const why = asking.length > 0 ? "was over before it was asked for" : "matches no subscription";
      this.#violation("uninvited", client, `"${payload}" on ${topic} ${why}`, payload);
      return;
    }
    if (retain) {
      const times = (session.retainedCame.get(message) ?? 0) + 1;
      session.retainedCame.set(message, times);
      if (qos === 2 && times > asking.length) {
        this.#violation("repeated", client, `retained "${payload}" came ${times} times`, payload);
      }
      const asked = Math.min(...asking.map((subscribed) => subscribed.asked));
      const instead = this.#replaced(message, asked);
      if (instead) {
        this.#violation("retained", client, `"${payload}" came for "${instead.payload}" on ${topic}`, payload);
      }
      return;
    }
    const came = session.came.get(message) ?? { times: 0, exactly: false };
    came.times += 1;
    came.exactly ||= qos === 2 || message.qos === 0;
    session.came.set(message, came);
    if (came.times > 1) {
      if (came.exactly) this.#violation("repeated", client, `"${payload}" came ${came.times} times`, payload);
      return;
    }
    if (message.isWill) return;
    const before = session.newest.get(group(message));
    // Who subscribed while messages were sent, and then sent again, may see a later one of the first time first.
    const wasSubscribed = asking.some(({ from }) => from < message.sent);
    if (before && before.sent > message.sent && wasSubscribed) {
      this.#violation("order", client, `"${payload}" came after "${before.payload}"`, payload);
    } else if (!before || before.sent < message.sent) {
      session.newest.set(group(message), message);
    }
  }

  // What has to be there at the end.

  #complete(session: Session): void {
    for (const message of this.#messages.values()) {
      if (session.came.has(message) || !isOwed(session, message)) continue;
      this.#violation(
        "lost",
        this.#client(session.client),
        `"${message.payload}" on ${message.topic} (QoS ${message.qos}) never came`,
        message.payload,
      );
    }
  }

  #withoutGaps(session: Session): void {
    for (const message of this.#messages.values()) {
      const newest = session.newest.get(group(message));
      if (!newest || newest.sent < message.sent || session.came.has(message) || !isOwed(session, message)) continue;
      this.#violation(
        "lost",
        this.#client(session.client),
        `"${message.payload}" on ${message.topic} never came, and "${newest.payload}" did`,
        message.payload,
      );
    }
  }

  #kept(topic: string, payload: string): void {
    const all = this.#retained.get(topic) ?? [];
    const says = payload === "" ? "no message" : `"${payload}"`;
    const found = all.filter((message) => message.payload === payload);
    if (payload !== "" && found.length === 0) {
      this.#wronglyKept(topic, payload, `${says} is retained on ${topic} and was never sent there`);
      return;
    }
    const replaced = found.map((message) => this.#replaced(message, NEVER));
    // Nothing was there before the first one.
    if (payload === "") replaced.push(all.find(({ acknowledged }) => acknowledged !== NEVER));
    if (replaced.includes(undefined)) return;
    const last = replaced.at(-1)!;
    const instead = last.payload === "" ? "its clearing" : `"${last.payload}"`;
    this.#wronglyKept(topic, last.payload, `${says} is retained on ${topic}, and ${instead} was acknowledged later`);
  }

  #wronglyKept(topic: string, payload: string, says: string): void {
    this.violations.push({ rule: "retained", client: topic, payload, says, index: this.#index });
  }

  /** What certainly replaced a retained message, and was acknowledged before `before`. */
  #replaced(message: Message, before: number): Message | undefined {
    const all = this.#retained.get(message.topic) ?? [];
    // One that nobody acknowledged is over when a later one of its publisher is: they take the same way.
    const after = all.find(
      ({ publisher, sent, acknowledged }) =>
        publisher === message.publisher && sent > message.sent && acknowledged !== NEVER,
    );
    const done = message.done === NEVER ? (after?.acknowledged ?? NEVER) : message.done;
    return all.find(({ sent, acknowledged }) => sent > done && acknowledged < before);
  }

  #client(name: string): Client {
    let client = this.#clients.get(name);
    if (!client) {
      client = {
        name,
        connection: undefined,
        session: undefined,
        exists: "no",
        endedAt: 0,
        expirySeconds: 0,
        wills: [],
        outgoing: new Map(),
      };
      this.#clients.set(name, client);
    }
    return client;
  }

  #violation(rule: Rule, client: Client, says: string, payload?: string): void {
    const violation = { rule, client: client.name, says: `${client.name}: ${says}`, index: this.#index };
    this.violations.push(payload === undefined ? violation : { ...violation, payload });
  }
}

function subscription(filter: string, qos: Qos, asked: number): Subscription {
  return { filter, qos, asked, from: NEVER, until: NEVER, gone: NEVER };
}

function asks(session: Session, topic: string): Subscription[] {
  let matching = session.matching.get(topic);
  if (!matching) {
    matching = session.subscriptions.filter(({ filter }) => matches(filter, topic));
    session.matching.set(topic, matching);
  }
  return matching;
}

function isOwed(session: Session, message: Message): boolean {
  if (message.isWill || message.qos === 0 || message.acknowledged === NEVER) return false;
  return asks(session, message.topic).some(({ from, until, qos }) => from < message.sent && until === NEVER && qos > 0);
}

function group({ publisher, topic, qos }: Message): string {
  return `${publisher} ${topic} ${qos}`;
}
