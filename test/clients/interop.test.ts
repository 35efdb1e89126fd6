/** Clients that others wrote, talking to each other through the broker: MQTT.js and mosquitto's command line. */
import { spawn, type ChildProcess } from "node:child_process";
import { type EventEmitter, once } from "node:events";
import mqtt, { type IClientOptions, type IPublishPacket, type MqttClient } from "mqtt";
import { afterEach, describe, expect, test } from "vitest";
import { scope, useBroker } from "../broker/support/broker.ts";

const use = useBroker();

const PATIENCE_MS = 15_000;
const LARGE = "0123456789abcdef".repeat(57_600); // 921,600 bytes
const TOPIC_IN_UNICODE = "пример/例え/ünï/🐭";

interface Message {
  topic: string;
  payload: string;
  qos: number;
  retain: boolean;
}

/** What every client of the matrix can do. */
interface Subscriber {
  /** The next message, in their order. */
  next(): Promise<Message>;
  end(): Promise<void>;
}

interface Program {
  name: string;
  subscribe(filter: string, qos: 0 | 1 | 2): Promise<Subscriber>;
  publish(message: { topic: string; payload: string; qos: 0 | 1 | 2; retain?: boolean }): Promise<void>;
  /** Connects with a will and vanishes. */
  vanish(will: { topic: string; payload: string }): Promise<void>;
}

/** Hands out messages in their order, to whoever waits. */
class Inbox {
  readonly #messages: Message[] = [];
  #wake: (() => void) | undefined;

  put(message: Message): void {
    this.#messages.push(message);
    this.#wake?.();
  }

  async next(): Promise<Message> {
    if (this.#messages.length === 0) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const timer = setTimeout(() => reject(new Error("no message came")), PATIENCE_MS);
      await promise.finally(() => clearTimeout(timer));
    }
    return this.#messages.shift()!;
  }
}

// MQTT.js

const opened = new Set<MqttClient>();

async function connectMqttJs(
  transport: "ws" | "tcp",
  version: 3 | 4 | 5,
  options: IClientOptions = {},
): Promise<MqttClient> {
  const client = await mqtt.connectAsync(transport === "ws" ? use.broker.wsUrl : use.broker.tcpUrl, {
    protocolVersion: version,
    protocolId: version === 3 ? "MQIsdp" : "MQTT",
    reconnectPeriod: 0,
    connectTimeout: PATIENCE_MS,
    ...options,
  });
  opened.add(client);
  return client;
}

/** The next message to a client. */
function arrival(client: MqttClient): Promise<[topic: string, payload: Buffer, packet: IPublishPacket]> {
  return once(client as unknown as EventEmitter, "message") as Promise<[string, Buffer, IPublishPacket]>;
}

function mqttJs(transport: "ws" | "tcp", version: 3 | 4 | 5): Program {
  return {
    name: `MQTT.js ${{ 3: "3.1", 4: "3.1.1", 5: "5.0" }[version]} over ${transport}`,
    async subscribe(filter, qos) {
      const client = await connectMqttJs(transport, version);
      const inbox = new Inbox();
      client.on("message", (topic, payload, packet) => {
        inbox.put({ topic, payload: payload.toString(), qos: packet.qos, retain: packet.retain });
      });
      const [granted] = await client.subscribeAsync(filter, { qos });
      expect(granted?.qos).toBe(qos);
      return { next: () => inbox.next(), end: () => client.endAsync() };
    },
    async publish({ topic, payload, qos, retain = false }) {
      const client = await connectMqttJs(transport, version);
      await client.publishAsync(topic, payload, { qos, retain });
      await client.endAsync();
    },
    async vanish({ topic, payload }) {
      const client = await connectMqttJs(transport, version, {
        will: { topic, payload: Buffer.from(payload), qos: 1, retain: false },
      });
      client.stream.destroy();
    },
  };
}

// mosquitto

const running = new Set<ChildProcess>();

function run(program: string, args: string[]): ChildProcess {
  // stdbuf, because what mosquitto_sub -d says would otherwise stay in its buffer; it executes the program in its place.
  const command = ["-oL", program, "-h", "127.0.0.1", "-p", String(use.broker.tcpPort), ...args];
  const child = spawn("stdbuf", command, { stdio: ["pipe", "pipe", "pipe"] });
  running.add(child);
  child.once("close", () => running.delete(child));
  return child;
}

/** Runs a program to its end. */
async function done(program: string, args: string[], input?: string): Promise<string> {
  const child = run(program, args);
  let output = "";
  child.stdout!.on("data", (text) => (output += text));
  child.stderr!.on("data", (text) => (output += text));
  const closed = once(child, "close");
  child.stdin!.end(input);
  const [code] = (await closed) as [number];
  if (code !== 0) throw new Error(`${program} ended with ${code}: ${output}`);
  return output;
}

/** mosquitto_sub that is subscribed; `options` come last. */
async function mosquittoSub(
  version: string,
  filter: string,
  qos: 0 | 1 | 2,
  options: string[] = [],
): Promise<Subscriber & { child: ChildProcess; raw: string[] }> {
  // -d says when SUBACK is there; both go to standard output line by line, as -F ends each message with a newline.
  const child = run("mosquitto_sub", [
    "-V",
    version,
    "-d",
    "-t",
    filter,
    "-q",
    String(qos),
    "-F",
    "message: %q %r %t %p",
    ...options,
  ]);
  const inbox = new Inbox();
  const raw: string[] = [];
  const subscribed = Promise.withResolvers<void>();
  let text = "";
  child.stdout!.setEncoding("utf8");
  child.stdout!.on("data", (chunk: string) => {
    text += chunk;
    const lines = text.split("\n");
    text = lines.pop()!;
    for (const line of lines) {
      raw.push(line);
      if (line.startsWith("Subscribed (")) subscribed.resolve();
      const message = /^message: (\d) (\d) (\S+) (.*)$/.exec(line);
      if (message)
        inbox.put({ qos: Number(message[1]), retain: message[2] === "1", topic: message[3]!, payload: message[4]! });
    }
  });
  child.once("close", () => subscribed.reject(new Error(`mosquitto_sub ended: ${raw.join("; ")}`)));
  await subscribed.promise;
  return {
    child,
    raw,
    next: () => inbox.next(),
    end: async () => {
      const closed = once(child, "close");
      child.kill("SIGTERM");
      await closed;
    },
  };
}

function mosquitto(version: "mqttv31" | "mqttv311" | "mqttv5"): Program {
  return {
    name: `mosquitto ${version}`,
    subscribe: (filter, qos) => mosquittoSub(version, filter, qos),
    async publish({ topic, payload, qos, retain = false }) {
      await done(
        "mosquitto_pub",
        ["-V", version, "-t", topic, "-q", String(qos), "-s", ...(retain ? ["-r"] : [])],
        payload,
      );
    },
    async vanish({ topic, payload }) {
      const will = ["--will-topic", topic, "--will-payload", payload, "--will-qos", "1"];
      const { child } = await mosquittoSub(version, "nothing/here", 0, will);
      const closed = once(child, "close");
      child.kill("SIGKILL");
      await closed;
    },
  };
}

const PROGRAMS: Program[] = [
  ...([3, 4, 5] as const).flatMap((version) => [mqttJs("ws", version), mqttJs("tcp", version)]),
  ...(["mqttv31", "mqttv311", "mqttv5"] as const).map(mosquitto),
];

afterEach(async () => {
  for (const client of opened) client.end(true);
  opened.clear();
  const ended = [...running].map((child) => once(child, "close"));
  for (const child of running) child.kill("SIGKILL");
  await Promise.all(ended);
});

describe.each(PROGRAMS)("to $name", (to) => {
  test.each(PROGRAMS)("from $name: QoS 0, 1 and 2, Unicode, retained, a will", async (from) => {
    const base = scope("clients");
    const subscriber = await to.subscribe(`${base}/#`, 2);
    const live = { qos: 0, retain: false };
    await from.publish({ topic: `${base}/a`, payload: "at most once", qos: 0 });
    expect(await subscriber.next()).toEqual({ ...live, topic: `${base}/a`, payload: "at most once" });
    await from.publish({ topic: `${base}/${TOPIC_IN_UNICODE}`, payload: "größer 🐭", qos: 1 });
    expect(await subscriber.next()).toEqual({
      ...live,
      qos: 1,
      topic: `${base}/${TOPIC_IN_UNICODE}`,
      payload: "größer 🐭",
    });
    await from.publish({ topic: `${base}/kept`, payload: "kept", qos: 1, retain: true });
    expect(await subscriber.next()).toEqual({ ...live, qos: 1, topic: `${base}/kept`, payload: "kept" });
    const later = await to.subscribe(`${base}/kept`, 0);
    expect(await later.next()).toEqual({ topic: `${base}/kept`, payload: "kept", qos: 0, retain: true });
    await later.end();
    await from.publish({ topic: `${base}/kept`, payload: "exactly once", qos: 2, retain: true });
    expect(await subscriber.next()).toEqual({ ...live, qos: 2, topic: `${base}/kept`, payload: "exactly once" });
    const atTwo = await to.subscribe(`${base}/kept`, 2);
    expect(await atTwo.next()).toEqual({ topic: `${base}/kept`, payload: "exactly once", qos: 2, retain: true });
    await atTwo.end();
    await from.vanish({ topic: `${base}/will`, payload: "gone" });
    expect(await subscriber.next()).toEqual({ ...live, qos: 1, topic: `${base}/will`, payload: "gone" });
    await subscriber.end();
  });
});

describe.each(PROGRAMS)("$name", (program) => {
  test("receives 900 kB that the other program sent", async () => {
    const base = scope("clients");
    const other = program.name.startsWith("MQTT.js") ? mosquitto("mqttv5") : mqttJs("ws", 5);
    const subscriber = await program.subscribe(`${base}/large`, 1);
    await other.publish({ topic: `${base}/large`, payload: LARGE, qos: 1 });
    const { payload } = await subscriber.next();
    expect(payload.length).toBe(LARGE.length);
    expect(payload === LARGE).toBe(true);
    await subscriber.end();
  });
});

describe("what only MQTT 5 has", () => {
  test("user properties and Subscription Identifiers from mosquitto to MQTT.js", async () => {
    const topic = scope("clients");
    const client = await connectMqttJs("ws", 5);
    await client.subscribeAsync(topic, { qos: 1, properties: { subscriptionIdentifier: 42 } });
    const received = arrival(client);
    const properties =
      "user-property a 1,user-property a 2,user-property b 3,content-type text/plain,response-topic reply/here," +
      "correlation-data c,payload-format-indicator 1";
    const options = properties.split(",").flatMap((property) => ["-D", "publish", ...property.split(" ")]);
    await done("mosquitto_pub", ["-V", "mqttv5", "-t", topic, "-m", "x", "-q", "1", ...options]);
    const [, , packet] = await received;
    expect(packet.properties).toEqual({
      userProperties: { a: ["1", "2"], b: "3" },
      subscriptionIdentifier: 42,
      contentType: "text/plain",
      responseTopic: "reply/here",
      correlationData: Buffer.from("c"),
      payloadFormatIndicator: true,
    });
  });

  test("user properties from MQTT.js to mosquitto", async () => {
    const topic = scope("clients");
    const subscriber = await mosquittoSub("mqttv5", topic, 1, [
      "-D",
      "subscribe",
      "subscription-identifier",
      "7",
      "-F",
      "properties: %P / %C / %R / %D",
    ]);
    const publisher = await connectMqttJs("tcp", 5);
    await publisher.publishAsync(topic, "x", {
      qos: 1,
      properties: {
        userProperties: { a: ["1", "2"], b: "3" },
        contentType: "text/plain",
        responseTopic: "r",
        correlationData: Buffer.from("c"),
      },
    });
    await publisher.publishAsync(topic, "x", { qos: 1 });
    while (subscriber.raw.filter((line) => line.startsWith("properties:")).length < 2)
      await once(subscriber.child.stdout!, "data");
    expect(subscriber.raw.filter((line) => line.startsWith("properties:"))[0]).toBe(
      "properties: a:1 a:2 b:3 / text/plain / r / c",
    );
    await subscriber.end();
  });

  test("a subscriber at QoS 2 is granted QoS 2", async () => {
    const topic = scope("clients");
    const subscribed = done("mosquitto_sub", ["-V", "mqttv5", "-d", "-t", topic, "-q", "2", "-E"]);
    expect(await subscribed).toContain("Subscribed (mid: 1): 2");
  });

  test("a shared subscription is refused, and MQTT.js says so", async () => {
    const client = await connectMqttJs("tcp", 5);
    await expect(client.subscribeAsync("$share/g/t", { qos: 0 })).rejects.toThrow("Shared Subscriptions not supported");
  });

  test("MQTT.js works without a client id [MQTT-3.1.3-6], and so do its topic aliases [MQTT-3.3.2-12]", async () => {
    const topic = scope("clients");
    const client = await connectMqttJs("ws", 5, { clientId: "", autoAssignTopicAlias: true });
    const subscriber = await mosquittoSub("mqttv311", topic, 1);
    for (let number = 0; number < 5; number++) {
      await client.publishAsync(topic, String(number), { qos: 1 });
      expect(await subscriber.next()).toMatchObject({ topic, payload: String(number) });
    }
    await subscriber.end();
  });
});

describe("MQTT.js reconnects by itself", () => {
  test.each(["ws", "tcp"] as const)("over %s, subscribes again and goes on", async (transport) => {
    const topic = scope("clients");
    const client = await connectMqttJs(transport, 5, { reconnectPeriod: 10 });
    await client.subscribeAsync(topic, { qos: 1 });
    const publisher = await connectMqttJs("tcp", 4);
    for (let round = 0; round < 3; round++) {
      const connected = once(client as unknown as EventEmitter, "connect");
      const resubscribed = new Promise<void>((resolve) => {
        const listener = (packet: { cmd: string }): void => {
          if (packet.cmd !== "suback") return;
          client.off("packetreceive", listener);
          resolve();
        };
        client.on("packetreceive", listener);
      });
      client.stream.destroy();
      await connected;
      await resubscribed;
      const received = arrival(client);
      await publisher.publishAsync(topic, String(round), { qos: 1 });
      expect((await received)[1].toString()).toBe(String(round));
    }
  });

  test("and is not confused by another one that takes its client id: the older one is closed", async () => {
    const older = await connectMqttJs("ws", 4, { clientId: "twins" });
    const closed = once(older as unknown as EventEmitter, "close");
    const newer = await connectMqttJs("tcp", 5, { clientId: "twins" });
    await closed;
    await newer.publishAsync("twins/x", "still here", { qos: 1 });
  });
});

describe("mosquitto's own tools", () => {
  test("mosquitto_sub reconnects after its client id was taken and given back", async () => {
    const topic = scope("clients");
    const subscriber = await mosquittoSub("mqttv311", topic, 1, ["-i", "mosquitto-reconnects"]);
    const before = subscriber.raw.filter((line) => line.startsWith("Subscribed (")).length;
    const thief = await connectMqttJs("tcp", 4, { clientId: "mosquitto-reconnects" });
    await thief.endAsync().catch(() => {});
    while (subscriber.raw.filter((line) => line.startsWith("Subscribed (")).length === before) {
      await once(subscriber.child.stdout!, "data");
    }
    await done("mosquitto_pub", ["-V", "mqttv5", "-t", topic, "-m", "back", "-q", "1"]);
    expect(await subscriber.next()).toMatchObject({ payload: "back" });
    await subscriber.end();
  });

  test.each([
    ["mqttv311", 1],
    ["mqttv311", 2],
    ["mqttv5", 2],
  ] as const)(
    "a thousand messages from mosquitto_pub -l, %s and QoS %i, arrive in their order",
    async (version, qos) => {
      const topic = scope("clients");
      const subscriber = await mosquittoSub("mqttv5", topic, qos);
      const lines = Array.from({ length: 1000 }, (_, number) => `line-${number}`);
      await done("mosquitto_pub", ["-V", version, "-t", topic, "-q", String(qos), "-l"], `${lines.join("\n")}\n`);
      for (const line of lines) expect(await subscriber.next()).toMatchObject({ payload: line, qos });
      // Nothing came twice behind them.
      await done("mosquitto_pub", ["-V", version, "-t", topic, "-q", "1", "-m", "fence"]);
      expect((await subscriber.next()).payload).toBe("fence");
      await subscriber.end();
    },
  );

  test("mosquitto_pub and mosquitto_sub at QoS 2 go through the whole exchange [MQTT-4.3.3-4]", async () => {
    const topic = scope("clients");
    const subscriber = await mosquittoSub("mqttv5", topic, 2);
    const output = await done("mosquitto_pub", ["-V", "mqttv5", "-d", "-t", topic, "-m", "x", "-q", "2"]);
    for (const packet of ["PUBREC", "PUBREL", "PUBCOMP"]) expect(output).toContain(packet);
    expect(await subscriber.next()).toMatchObject({ payload: "x", qos: 2 });
    while (!subscriber.raw.some((line) => line.includes("sending PUBCOMP")))
      await once(subscriber.child.stdout!, "data");
    expect(subscriber.raw.some((line) => line.includes("received PUBREL"))).toBe(true);
    await subscriber.end();
  });
});

describe("a session that goes on", () => {
  const all: [from: string, version: 3 | 4 | 5, transport: "ws" | "tcp"][] = [
    ["mqttv31", 3, "ws"],
    ["mqttv311", 4, "tcp"],
    ["mqttv5", 5, "ws"],
  ];

  test.each(all)(
    "of MQTT.js: what mosquitto_pub %s sends while it is away arrives once, at QoS 1 and 2",
    async (from, version, transport) => {
      const topic = scope("clients");
      const clientId = `away-${version}`;
      const options = { clientId, clean: false, properties: { sessionExpiryInterval: 600 } };
      if (version < 5) delete (options as Partial<typeof options>).properties;
      const first = await connectMqttJs(transport, version, options);
      await first.subscribeAsync(`${topic}/+`, { qos: 2 });
      await first.endAsync();
      const lines = Array.from({ length: 50 }, (_, number) => `line-${number}`);
      for (const qos of ["0", "1", "2"]) {
        await done("mosquitto_pub", ["-V", from, "-t", `${topic}/${qos}`, "-q", qos, "-l"], `${lines.join("\n")}\n`);
      }
      const inbox = new Inbox();
      const second = mqtt.connect(transport === "ws" ? use.broker.wsUrl : use.broker.tcpUrl, {
        protocolVersion: version,
        protocolId: version === 3 ? "MQIsdp" : "MQTT",
        reconnectPeriod: 0,
        ...options,
      });
      opened.add(second);
      second.on("message", (at, payload, packet) => {
        inbox.put({ topic: at, payload: payload.toString(), qos: packet.qos, retain: packet.retain });
      });
      const came: Message[] = [];
      for (let left = 100; left > 0; left--) came.push(await inbox.next());
      for (const qos of [1, 2])
        expect(came.filter((one) => one.qos === qos).map(({ payload }) => payload)).toEqual(lines);
      await done("mosquitto_pub", ["-V", from, "-t", `${topic}/x`, "-q", "1", "-m", "fence"]);
      expect((await inbox.next()).payload).toBe("fence");
    },
  );

  test.each([
    ["mqttv311", ["-c"]],
    ["mqttv5", ["-c", "-x", "600"]],
  ])("of mosquitto_sub %s: what MQTT.js sends while it is away arrives, at QoS 1 and 2", async (version, keep) => {
    const topic = scope("clients");
    const options = ["-i", `kept-${version}`, ...keep];
    const first = await mosquittoSub(version, topic, 2, options);
    await first.end();
    const publisher = await connectMqttJs("ws", 5);
    for (let number = 0; number < 20; number++) {
      await publisher.publishAsync(topic, `${number}`, { qos: number % 2 ? 1 : 2 });
    }
    const second = await mosquittoSub(version, topic, 2, options);
    const came: Message[] = [];
    for (let left = 20; left > 0; left--) came.push(await second.next());
    // mosquitto_sub hands out a QoS 2 message when it is released, so the order is each QoS's own.
    for (const qos of [1, 2]) {
      const wanted = Array.from({ length: 10 }, (_, i) => `${2 * i + (qos === 1 ? 1 : 0)}`);
      expect(came.filter((one) => one.qos === qos).map(({ payload }) => payload)).toEqual(wanted);
    }
    await second.end();
  });

  test("of MQTT.js goes on by itself when its socket is cut in the middle of QoS 2, both ways: nothing twice, nothing lost", async () => {
    const topic = scope("clients");
    const session = { clean: false, reconnectPeriod: 10, properties: { sessionExpiryInterval: 600 } };
    const subscriber = await connectMqttJs("ws", 5, { ...session, clientId: "cut-subscriber" });
    const inbox = new Inbox();
    subscriber.on("message", (at, payload, packet) => {
      inbox.put({ topic: at, payload: payload.toString(), qos: packet.qos, retain: packet.retain });
    });
    await subscriber.subscribeAsync(topic, { qos: 2 });
    const publisher = await connectMqttJs("tcp", 5, { ...session, clientId: "cut-publisher" });
    const sent: Promise<unknown>[] = [];
    for (let number = 0; number < 300; number++) {
      sent.push(publisher.publishAsync(topic, `${number}`, { qos: 2 }));
      if (number % 50 === 25) (number % 100 === 25 ? publisher : subscriber).stream.destroy();
      if (number % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(sent);
    const came: string[] = [];
    for (let left = 300; left > 0; left--) came.push((await inbox.next()).payload);
    expect(came.toSorted((a, b) => Number(a) - Number(b))).toEqual(Array.from({ length: 300 }, (_, i) => `${i}`));
    await publisher.publishAsync(topic, "fence", { qos: 2 });
    expect((await inbox.next()).payload).toBe("fence");
  });
});
