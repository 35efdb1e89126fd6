/** Programs whose connection is taken from them go on by themselves. */
import { type EventEmitter, once } from "node:events";
import type { MqttClient } from "mqtt";
import { describe, expect, test } from "vitest";
import { scope, useBroker } from "../broker/support/broker.ts";
import { TRANSPORTS } from "../broker/support/wire.ts";
import { useMosquitto } from "./programs/mosquitto.ts";
import { arrival, useMqttJs } from "./programs/mqtt-js.ts";

const use = useBroker();
const mqttJs = useMqttJs(use);
const mosquitto = useMosquitto(use);

/** The client has connected again, and its subscriptions are there again. */
async function resubscribed(client: MqttClient): Promise<void> {
  const connected = once(client as unknown as EventEmitter, "connect");
  const { promise, resolve } = Promise.withResolvers<void>();
  const listener = (packet: { cmd: string }): void => {
    if (packet.cmd === "suback") resolve();
  };
  client.on("packetreceive", listener);
  await connected;
  await promise;
  client.off("packetreceive", listener);
}

/**
 * PUBREL again after a PUBCOMP that was lost is answered with 0x92, which is no error then [§3.7.2.1]; MQTT.js says it
 * is.
 */
function completedBefore(error: { code?: number }): void {
  if (error.code !== 0x92) throw error;
}

describe("MQTT.js", () => {
  test.each(TRANSPORTS)("over %s subscribes again and goes on", async (transport) => {
    const topic = scope("reconnect");
    const client = await mqttJs.connect(transport, 5, { reconnectPeriod: 10 });
    await client.subscribeAsync(topic, { qos: 1 });
    const publisher = await mqttJs.connect("tcp", 4);
    for (let round = 0; round < 3; round++) {
      const again = resubscribed(client);
      client.stream.destroy();
      await again;
      const received = arrival(client);
      await publisher.publishAsync(topic, String(round), { qos: 1 });
      expect((await received)[1].toString()).toBe(String(round));
    }
  });

  test("is not confused by another one that takes its client id: the older one is closed", async () => {
    const older = await mqttJs.connect("ws", 4, { clientId: "twins" });
    const closed = once(older as unknown as EventEmitter, "close");
    const newer = await mqttJs.connect("tcp", 5, { clientId: "twins" });
    await closed;
    await newer.publishAsync("twins/x", "still here", { qos: 1 });
  });

  test("is cut off in the middle of QoS 2, both ways: nothing twice, nothing lost", async () => {
    const topic = scope("reconnect");
    const session = { clean: false, reconnectPeriod: 10, properties: { sessionExpiryInterval: 600 } };
    const { client: subscriber, inbox } = await mqttJs.receive("ws", 5, { ...session, clientId: "cut-subscriber" });
    await subscriber.subscribeAsync(topic, { qos: 2 });
    const publisher = await mqttJs.connect("tcp", 5, { ...session, clientId: "cut-publisher" });
    const sent: Promise<unknown>[] = [];
    for (let number = 0; number < 300; number++) {
      sent.push(publisher.publishAsync(topic, `${number}`, { qos: 2 }).catch(completedBefore));
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

test("mosquitto_sub, after its client id was taken and given back", async () => {
  const topic = scope("reconnect");
  const subscriber = await mosquitto.subscribe(4, topic, 1, ["-i", "mosquitto-reconnects"]);
  const before = subscriber.lines.length;
  const thief = await mqttJs.connect("tcp", 4, { clientId: "mosquitto-reconnects" });
  // It may have been thrown out in its turn already.
  await thief.endAsync().catch(() => {});
  await subscriber.line(/^Subscribed \(/, before);
  await mosquitto.done("mosquitto_pub", 5, ["-t", topic, "-m", "back", "-q", "1"]);
  expect(await subscriber.next()).toMatchObject({ payload: "back" });
  await subscriber.end();
});
