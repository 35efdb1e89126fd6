/** Sessions that outlive their connections, over real sockets, and the broker that is restarted under them. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { startBroker, type Broker } from "../../scripts/broker.ts";
import { removeStateDir, scope, temporaryStateDir, useBroker } from "./support/broker.ts";
import { Client, cutAll, type Message, type Version, versionName, VERSIONS } from "./support/client.ts";
import { TRANSPORTS } from "./support/wire.ts";

const use = useBroker();

const versions = VERSIONS.map((version): [string, Version] => [versionName(version), version]);

let ids = 0;

/** CONNECT of a session that goes on. */
function keeping(version: Version, clientId: string, properties: object = {}) {
  return {
    clientId,
    clean: false,
    ...(version === 5 && { properties: { sessionExpiryInterval: 3600, ...properties } }),
  };
}

async function disconnect(client: Client): Promise<void> {
  client.send({ cmd: "disconnect", ...(client.version === 5 && { reasonCode: 0 }) });
  await client.expectClosed(1000);
}

/** The next packet has to be a PUBLISH; it is left unacknowledged. */
async function unacknowledged(client: Client): Promise<Message> {
  return (await client.expectPacket({ cmd: "publish" })) as Message;
}

describe.each(TRANSPORTS)("over %s", (transport) => {
  describe.each(versions)("version %s", (_name, version) => {
    test("what is published while a session is away waits for it, at its QoS and in order [MQTT-4.5.0-1]", async () => {
      const topic = scope();
      const clientId = `away-${++ids}`;
      const first = await Client.connected(use.broker, transport, version, keeping(version, clientId));
      await first.subscribe([
        { topic: `${topic}/#`, qos: 2 },
        { topic: `${topic}/1`, qos: 1 },
      ]);
      await disconnect(first);
      const publisher = await Client.connected(use.broker);
      for (let i = 0; i < 12; i++) await publisher.publish(`${topic}/${i % 3}`, `${i}`, { qos: (i % 3) as 0 | 1 | 2 });

      const second = await Client.open(use.broker, transport, version);
      expect(await second.connect(keeping(version, clientId))).toMatchObject({ sessionPresent: version > 3 });
      const came = await second.messages(8);
      expect(came.map(({ payload, qos }) => [Number(payload), qos])).toEqual(
        [1, 2, 4, 5, 7, 8, 10, 11].map((number) => [number, number % 3]),
      );
      await second.expectNothing();
    });

    test("what was not acknowledged comes again, with DUP and its packet id, in order, once a connection [MQTT-4.4.0-1]", async () => {
      const topic = scope();
      const clientId = `again-${++ids}`;
      const first = await Client.connected(use.broker, transport, version, keeping(version, clientId));
      await first.subscribe({ topic, qos: 2 });
      const publisher = await Client.connected(use.broker);
      for (let i = 0; i < 4; i++) await publisher.publish(topic, `${i}`, { qos: i % 2 ? 2 : 1 });
      const sent: Message[] = [];
      for (let i = 0; i < 4; i++) sent.push(await unacknowledged(first));
      first.cut();

      for (let time = 0; time < 2; time++) {
        const again = await Client.connected(use.broker, transport, version, keeping(version, clientId));
        for (const { messageId, payload, qos } of sent) {
          const message = await unacknowledged(again);
          expect([message.messageId, message.payload, message.qos, message.dup]).toEqual([
            messageId,
            payload,
            qos,
            true,
          ]);
        }
        await again.expectNothing();
        again.cut();
      }
      const last = await Client.connected(use.broker, transport, version, keeping(version, clientId));
      await last.messages(4);
      await disconnect(last);
      const done = await Client.connected(use.broker, transport, version, keeping(version, clientId));
      await done.expectNothing();
    });

    test("an exchange of QoS 2 goes on where it was, on both sides [MQTT-4.3.3-6], [MQTT-4.3.3-10]", async () => {
      const topic = scope();
      const clientId = `exchange-${++ids}`;
      const first = await Client.connected(use.broker, transport, version, keeping(version, clientId));
      await first.subscribe({ topic, qos: 2 });
      const publish = first.publishPacket(topic, "once", { qos: 2, messageId: 77 });
      first.send(publish);
      const packets = [await first.next(), await first.next()];
      const delivery = packets.find(({ cmd }) => cmd === "publish") as Message;
      expect(packets.map(({ cmd }) => cmd).toSorted()).toEqual(["publish", "pubrec"]);
      first.send({ cmd: "pubrec", messageId: delivery.messageId! });
      await first.expectPacket({ cmd: "pubrel", messageId: delivery.messageId! });
      first.cut();

      const second = await Client.connected(use.broker, transport, version, keeping(version, clientId));
      await second.expectPacket({ cmd: "pubrel", messageId: delivery.messageId! });
      second.send({ ...publish, dup: true });
      await second.expectPacket({ cmd: "pubrec", messageId: 77 });
      second.send({ cmd: "pubrel", messageId: 77 });
      await second.expectPacket({ cmd: "pubcomp", messageId: 77 });
      second.send({ cmd: "pubcomp", messageId: delivery.messageId! });
      await second.publish(topic, "fence", { qos: 1 });
      await second.expectMessage(topic, "fence");
    });
  });
});

describe("a session", () => {
  test("takes over from its own connection and misses nothing [MQTT-3.1.4-3]", async () => {
    const topic = scope();
    const clientId = `over-${++ids}`;
    const first = await Client.connected(use.broker, "ws", 5, keeping(5, clientId));
    await first.subscribe(topic);
    const second = await Client.open(use.broker, "tcp");
    expect(await second.connect(keeping(5, clientId))).toMatchObject({ sessionPresent: true });
    await first.expectDisconnected(0x8e, 1008);
    await second.publish(topic, "x", { qos: 1 });
    await second.expectMessage(topic, "x");
  });

  test("keeps options and identifiers of its subscriptions, and its retained messages do not come again [§3.8.2.1.2]", async () => {
    const topic = scope();
    const clientId = `options-${++ids}`;
    const publisher = await Client.connected(use.broker);
    await publisher.publish(topic, "kept", { qos: 1, retain: true });
    const first = await Client.connected(use.broker, "ws", 5, keeping(5, clientId));
    await first.subscribe({ topic, qos: 1, nl: true, rap: true, rh: 0 }, { subscriptionIdentifier: 42 });
    await first.expectMessage(topic, "kept");
    await disconnect(first);
    const second = await Client.connected(use.broker, "ws", 5, keeping(5, clientId));
    await second.publish(topic, "own", { qos: 1 });
    await publisher.publish(topic, "live", { qos: 1, retain: true });
    const message = await second.expectMessage(topic, "live");
    expect(message.retain).toBe(true);
    expect(message.properties).toMatchObject({ subscriptionIdentifier: 42 });
    await second.expectNothing();
  });

  test("ends when its interval has passed, also one that DISCONNECT changed; raising it from 0 is an error [§3.14.2.2.2]", async () => {
    const clientId = `expires-${++ids}`;
    const first = await Client.connected(use.broker, "ws", 5, keeping(5, clientId));
    first.send({ cmd: "disconnect", reasonCode: 0, properties: { sessionExpiryInterval: 0 } });
    await first.expectClosed(1000);
    const second = await Client.open(use.broker);
    expect(await second.connect(keeping(5, clientId, { sessionExpiryInterval: 0 }))).toMatchObject({
      sessionPresent: false,
    });
    second.send({ cmd: "disconnect", reasonCode: 0, properties: { sessionExpiryInterval: 10 } });
    await second.expectDisconnected(0x82, 1002);
  });

  test("of a client that never acknowledges holds up nobody else, and what it is owed waits [MQTT-3.3.4-9]", async () => {
    const topic = scope();
    const clientId = `deaf-${++ids}`;
    const deaf = await Client.connected(use.broker, "ws", 5, keeping(5, clientId, { receiveMaximum: 3 }));
    await deaf.subscribe({ topic, qos: 2 });
    const other = await Client.connected(use.broker, "tcp", 4, keeping(4, `other-${ids}`));
    await other.subscribe({ topic, qos: 2 });
    const publisher = await Client.connected(use.broker);
    for (let i = 0; i < 50; i++) await publisher.publish(topic, `${i}`, { qos: i % 2 ? 1 : 2 });
    expect((await other.messages(50)).map(({ payload }) => Number(payload))).toEqual(
      Array.from({ length: 50 }, (_, i) => i),
    );
    expect(await deaf.take(({ cmd }) => cmd === "publish", "the first")).toMatchObject({ qos: 2 });
    expect(deaf.untaken()).toHaveLength(2);
    deaf.cut();
    const back = await Client.connected(use.broker, "ws", 5, keeping(5, clientId));
    expect((await back.messages(50)).map(({ payload }) => Number(payload))).toEqual(
      Array.from({ length: 50 }, (_, i) => i),
    );
  });

  test("whose client acknowledges ids that nobody knows, or in the wrong way, goes on [MQTT-4.3.2-3]", async () => {
    const topic = scope();
    const client = await Client.connected(use.broker, "ws", 5, keeping(5, `odd-${++ids}`, { receiveMaximum: 1 }));
    await client.subscribe({ topic, qos: 2 });
    await client.publish(topic, "at QoS 1", { qos: 1 });
    const first = await unacknowledged(client);
    client.send({ cmd: "puback", messageId: 4711 }, { cmd: "pubcomp", messageId: first.messageId! });
    client.send({ cmd: "pubrec", messageId: first.messageId! });
    await client.expectPacket({ cmd: "pubrel", messageId: first.messageId!, reasonCode: 0x92 });
    await client.publish(topic, "at QoS 2", { qos: 2 });
    await client.expectNothing();
    client.send({ cmd: "puback", messageId: first.messageId! });
    const second = await unacknowledged(client);
    client.send({ cmd: "puback", messageId: second.messageId! });
    await client.expectNothing();
    client.send({ cmd: "pubrec", messageId: second.messageId!, reasonCode: 0x97 });
    await client.publish(topic, "after a refusal", { qos: 1 });
    await client.expectMessage(topic, "after a refusal");
  });
});

describe("a will with a delay", () => {
  const will = (topic: string, seconds: number) => ({
    topic,
    payload: Buffer.from("gone"),
    qos: 1 as const,
    retain: false,
    properties: { willDelayInterval: seconds },
  });

  test("comes when it has passed, and not when the session goes on before [MQTT-3.1.3-9]", async () => {
    const base = scope();
    const witness = await Client.connected(use.broker);
    await witness.subscribe(`${base}/#`);
    const [one, two] = [`late-${++ids}`, `early-${ids}`];
    const late = await Client.connected(use.broker, "ws", 5, { ...keeping(5, one), will: will(`${base}/late`, 1) });
    const early = await Client.connected(use.broker, "ws", 5, { ...keeping(5, two), will: will(`${base}/early`, 1) });
    early.cut();
    await early.closed();
    const back = await Client.connected(use.broker, "ws", 5, keeping(5, two));
    const before = Date.now();
    late.cut();
    await witness.expectMessage(`${base}/late`, "gone");
    expect(Date.now() - before).toBeGreaterThanOrEqual(990);
    await back.publish(`${base}/fence`, "", { qos: 1 });
    await witness.expectMessage(`${base}/fence`, "");
  });

  test("comes at once when a clean start ends the session [MQTT-3.1.3-9]", async () => {
    const base = scope();
    const witness = await Client.connected(use.broker);
    await witness.subscribe(`${base}/#`);
    const clientId = `ended-${++ids}`;
    const first = await Client.connected(use.broker, "ws", 5, {
      ...keeping(5, clientId),
      will: will(`${base}/will`, 3600),
    });
    first.cut();
    await first.closed();
    await Client.connected(use.broker, "ws", 5, { clientId, clean: true });
    await witness.expectMessage(`${base}/will`, "gone");
  });
});

describe.each<[string, (broker: Broker) => Promise<void>]>([
  ["stopped", (running) => running.stop()],
  ["killed as by a power cut", (running) => running.kill9()],
])("a broker that is %s", (_what, end) => {
  let stateDir: string;
  let broker: Broker | undefined;

  beforeEach(async () => {
    stateDir = await temporaryStateDir();
  });

  afterEach(async () => {
    cutAll();
    await broker?.stop();
    broker = undefined;
    await removeStateDir(stateDir);
  });

  async function start(): Promise<Broker> {
    broker = await startBroker({ port: 0, tcpPort: 0, stateDir, onLog: () => {} });
    return broker;
  }

  test.each(versions)("has every session as it was, version %s [MQTT-4.1.0-1]", async (_name, version) => {
    const first = await start();
    const here = await Client.connected(first, "ws", version, keeping(version, "here"));
    await here.subscribe([
      { topic: "a/#", qos: 2 },
      { topic: "+/b", qos: 1 },
    ]);
    const away = await Client.connected(first, "tcp", version, keeping(version, "away"));
    await away.subscribe({ topic: "#", qos: 2 });
    await disconnect(away);
    const publisher = await Client.connected(first, "ws", version, keeping(version, "publisher"));
    for (let i = 0; i < 20; i++) await publisher.publish(`a/${i}`, `${i}`, { qos: i % 2 ? 1 : 2 });
    const sent: Message[] = [];
    for (let i = 0; i < 20; i++) {
      const message = await here.take(({ cmd }) => cmd === "publish", "a PUBLISH");
      sent.push(message as Message);
    }
    publisher.send(publisher.publishPacket("a/x", "not released", { qos: 2, messageId: 999 }));
    await publisher.expectPacket({ cmd: "pubrec", messageId: 999 });
    await end(first);

    const second = await start();
    const again = await Client.connected(second, "ws", version, keeping(version, "here"));
    const back = await again.messages(21);
    // QoS 2 comes again under its packet id and with DUP; QoS 1 comes again.
    for (const { payload, qos, messageId } of sent) {
      const copies = back.filter((one) => one.payload.equals(payload));
      expect(copies).toHaveLength(1);
      if (qos === 2) expect(copies[0]).toMatchObject({ messageId, dup: true, qos: 2 });
    }
    expect(back.filter(({ payload }) => payload.toString() === "not released")).toHaveLength(1);
    const returned = await Client.connected(second, "tcp", version, keeping(version, "away"));
    const queued = (await returned.messages(21)).map(({ payload }) => payload.toString());
    expect(queued.toSorted()).toEqual([...Array.from({ length: 20 }, (_, i) => `${i}`), "not released"].toSorted());
    const resumed = await Client.connected(second, "ws", version, keeping(version, "publisher"));
    resumed.send({ ...resumed.publishPacket("a/x", "not released", { qos: 2, messageId: 999 }), dup: true });
    await resumed.expectPacket({ cmd: "pubrec", messageId: 999 });
    resumed.send({ cmd: "pubrel", messageId: 999 });
    await resumed.expectPacket({ cmd: "pubcomp", messageId: 999 });
    await resumed.publish("a/fence", "fence", { qos: 1 });
    await again.expectMessage("a/fence", "fence");
    await returned.expectMessage("a/fence", "fence");
  });
});
