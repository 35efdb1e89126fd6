/** What outlives the broker: stopped, killed, and with objects evicted under it. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { startBroker, type Broker } from "../../scripts/broker.ts";
import { removeStateDir, temporaryStateDir } from "./support/broker.ts";
import { Client, cutAll } from "./support/client.ts";

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

const ends: [string, (broker: Broker) => Promise<void>][] = [
  ["stopped", (running) => running.stop()],
  ["killed as by a power cut", (running) => running.kill9()],
];

describe.each(ends)("a broker that is %s", (_what, end) => {
  test("has every retained message that it acknowledged when it is started again, and none that it cleared [MQTT-4.3.2-4]", async () => {
    const first = await start();
    let publisher = await Client.connected(first, "tcp");
    const acknowledged = new Map<string, string>();
    const set = async (topic: string, payload: string): Promise<void> => {
      await publisher.publish(topic, payload, {
        qos: 1,
        retain: true,
        properties: { userProperties: { kept: "too" }, messageExpiryInterval: 3600 },
      });
      if (payload === "") acknowledged.delete(topic);
      else acknowledged.set(topic, payload);
    };
    for (let number = 0; number < 50; number++) await set(`kept/${number}/x`, `first ${number}`);
    for (let number = 0; number < 50; number += 2) await set(`kept/${number}/x`, `second ${number}`);
    for (let number = 0; number < 50; number += 5) await set(`kept/${number}/x`, "");
    await end(first);

    const second = await start();
    publisher = await Client.connected(second, "tcp");
    const subscriber = await Client.connected(second);
    await subscriber.subscribe("kept/#");
    const seen = new Map<string, string>();
    for (const { topic, payload, retain, properties } of await subscriber.messages(acknowledged.size)) {
      expect(retain).toBe(true);
      expect(properties).toMatchObject({ userProperties: { kept: "too" } });
      expect(properties!.messageExpiryInterval).toBeLessThanOrEqual(3600);
      seen.set(topic, payload.toString());
    }
    expect(seen).toEqual(acknowledged);
    for (let number = 0; number < 50; number += 5) await set(`kept/${number}/x`, "again");
    expect((await subscriber.messages(10)).map(({ payload }) => payload.toString())).toEqual(Array(10).fill("again"));
    await subscriber.expectNothing();
  });

  test("closes its clients, who find it again with their wills published", async () => {
    const first = await start();
    const clients = await Promise.all(
      (["ws", "tcp"] as const).map((transport) =>
        Client.connected(first, transport, 4, {
          clientId: `returns-${transport}`,
          will: { topic: `will/${transport}`, payload: "gone", qos: 1, retain: true },
        }),
      ),
    );
    // Its will is stored before CONNACK; a QoS 1 round trip is more than enough.
    for (const client of clients) await client.publish("any/thing", "", { qos: 1 });
    await end(first);
    for (const client of clients) await client.closed();

    const second = await start();
    const witness = await Client.connected(second);
    await witness.subscribe("will/#");
    for (const transport of ["ws", "tcp"] as const) {
      // The session object finds an epoch without a connection when its client returns.
      const client = await Client.connected(second, transport, 4, { clientId: `returns-${transport}` });
      await witness.expectMessage(`will/${transport}`, "gone");
      await client.expectNothing();
    }
  });
});
