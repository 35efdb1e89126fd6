/** Wills: on which ends of a connection they are published, and on which not. */
import type { IConnectPacket } from "mqtt-packet";
import { describe, expect, test } from "vitest";
import { scope, useBroker } from "./support/broker.ts";
import { userPropertiesOf } from "./support/bytes.ts";
import { Client, type Version, VERSIONS, versionName } from "./support/client.ts";
import { TRANSPORTS } from "./support/wire.ts";

const use = useBroker();

const will = (
  topic: string,
  more: Partial<NonNullable<IConnectPacket["will"]>> = {},
): NonNullable<IConnectPacket["will"]> => ({
  topic,
  payload: "gone",
  qos: 1,
  retain: false,
  ...more,
});

async function witnessOf(base: string): Promise<Client> {
  const witness = await Client.connected(use.broker);
  await witness.subscribe({ topic: `${base}/#`, rap: true });
  return witness;
}

describe.each(TRANSPORTS)("over %s", (transport) => {
  describe.each(VERSIONS.map((version): [string, Version] => [versionName(version), version]))(
    "version %s",
    (_name, version) => {
      test.each<[string, (client: Client) => void]>([
        ["the socket is cut", (client) => client.cut()],
        ["the socket is closed without DISCONNECT", (client) => client.end()],
        ["the client breaks the protocol", (client) => client.sendBytes([0xc0, 0x01, 0x00])],
        ["the client sends more than it may", (client) => client.sendBytes([0x30, 0xff, 0xff, 0xff, 0x7f])],
      ])("is published when %s [MQTT-3.1.2-8]", async (_what, leave) => {
        const base = scope();
        const witness = await witnessOf(base);
        const client = await Client.connected(use.broker, transport, version, { will: will(`${base}/will`) });
        leave(client);
        expect(await witness.expectMessage(`${base}/will`, "gone")).toMatchObject({ qos: 1, retain: false });
      });

      test("is published once when the keep alive runs out [MQTT-3.1.2-22], and is told 0x8D [§3.1.2.10]", async () => {
        const base = scope();
        const witness = await witnessOf(base);
        const client = await Client.connected(use.broker, transport, version, {
          keepalive: 1,
          will: will(`${base}/will`),
        });
        const since = performance.now();
        await client.expectDisconnected(0x8d, 1008);
        expect(performance.now() - since).toBeGreaterThan(1400);
        await witness.expectMessage(`${base}/will`, "gone");
        await witness.publish(`${base}/fence`, "fence", { qos: 1 });
        await witness.expectMessage(`${base}/fence`, "fence");
      });

      test("is not published after DISCONNECT [MQTT-3.14.4-3]", async () => {
        const base = scope();
        const witness = await witnessOf(base);
        const clientId = `polite-${transport}-${version}`;
        const client = await Client.connected(use.broker, transport, version, { clientId, will: will(`${base}/will`) });
        client.send({ cmd: "disconnect", ...(version === 5 && { reasonCode: 0 }) });
        await client.expectClosed(1000);
        // The session object takes one thing after another, so behind a will of its successor there is none of its own.
        const next = await Client.connected(use.broker, transport, version, {
          clientId,
          will: will(`${base}/will`, { payload: "fence" }),
        });
        next.cut();
        await witness.expectMessage(`${base}/will`, "fence");
      });
    },
  );

  test("is published after DISCONNECT 0x04 [MQTT-3.14.4-3]", async () => {
    const base = scope();
    const witness = await witnessOf(base);
    const client = await Client.connected(use.broker, transport, 5, { will: will(`${base}/will`) });
    client.send({ cmd: "disconnect", reasonCode: 0x04 });
    await client.expectClosed(1000);
    await witness.expectMessage(`${base}/will`, "gone");
  });

  test("comes after everything that its client published", async () => {
    const base = scope();
    const witness = await witnessOf(base);
    const client = await Client.connected(use.broker, transport, 4, { will: will(`${base}/x`) });
    for (let number = 0; number < 200; number++)
      client.send(client.publishPacket(`${base}/x`, String(number), { qos: 1 }));
    // A PINGREQ is answered when everything before it was read.
    client.send({ cmd: "pingreq" });
    await client.take(({ cmd }) => cmd === "pingresp", "PINGRESP");
    client.cut();
    const payloads = (await witness.messages(201)).map(({ payload }) => payload.toString());
    expect(payloads).toEqual([...Array.from({ length: 200 }, (_, number) => String(number)), "gone"]);
  });
});

test("is retained if it says so [MQTT-3.1.2-15]", async () => {
  const base = scope();
  const witness = await witnessOf(base);
  const client = await Client.connected(use.broker, "ws", 4, { will: will(`${base}/will`, { retain: true, qos: 0 }) });
  client.cut();
  expect(await witness.expectMessage(`${base}/will`, "gone")).toMatchObject({ retain: true, qos: 0 });
  const later = await Client.connected(use.broker);
  await later.subscribe(`${base}/will`);
  expect(await later.expectMessage(`${base}/will`, "gone")).toMatchObject({ retain: true });
});

test("arrives with its properties, and without its delay [MQTT-3.1.3-10]", async () => {
  const base = scope();
  const witness = await witnessOf(base);
  const client = await Client.connected(use.broker, "ws", 5, {
    will: will(`${base}/will`, { properties: { willDelayInterval: 0, userProperties: { a: ["1", "2"], b: "3" } } }),
  });
  client.cut();
  expect(userPropertiesOf((await witness.message()).raw)).toEqual([
    ["a", "1"],
    ["a", "2"],
    ["b", "3"],
  ]);
});

test("does not wait for its delay where the session ends first [§3.1.3.2.2]", async () => {
  const base = scope();
  const witness = await witnessOf(base);
  const client = await Client.connected(use.broker, "ws", 5, {
    will: will(`${base}/will`, { properties: { willDelayInterval: 1000 } }),
  });
  client.cut();
  await witness.expectMessage(`${base}/will`, "gone");
});

test("may not be for the topics of the server [§4.7.2]: 0x87", async () => {
  const refused = await Client.open(use.broker);
  expect(await refused.connect({ will: will("$SYS/x") })).toMatchObject({ reasonCode: 0x87 });
  await refused.expectClosed(1008);
});

test("of a refused CONNECT is never published [MQTT-3.1.2-7]", async () => {
  const base = scope();
  const witness = await witnessOf(base);
  const refused = await Client.open(use.broker, "tcp");
  const connack = await refused.connect({ properties: { authenticationMethod: "x" }, will: will(`${base}/will`) });
  expect(connack).toMatchObject({ reasonCode: 0x8c });
  await refused.expectClosed();
  await witness.publish(`${base}/fence`, "fence", { qos: 1 });
  await witness.expectMessage(`${base}/fence`, "fence");
});

test("of each of a hundred clients that vanish at once is published", async () => {
  const base = scope();
  const witness = await witnessOf(base);
  const clients = await Promise.all(
    Array.from({ length: 100 }, (_, number) =>
      Client.connected(use.broker, number % 2 === 0 ? "ws" : "tcp", 4, { will: will(`${base}/${number}`) }),
    ),
  );
  for (const client of clients) client.cut();
  const topics = (await witness.messages(100)).map(({ topic }) => topic);
  expect(new Set(topics).size).toBe(100);
});
