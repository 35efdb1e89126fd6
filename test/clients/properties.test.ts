/** What only MQTT 5.0 has, between programs that others wrote. */
import { expect, test } from "vitest";
import { scope, useBroker } from "../broker/support/broker.ts";
import { useMosquitto } from "./programs/mosquitto.ts";
import { arrival, useMqttJs } from "./programs/mqtt-js.ts";
import { type PahoMessage, usePaho } from "./programs/paho.ts";

const use = useBroker();
const mqttJs = useMqttJs(use);
const mosquitto = useMosquitto(use);
const paho = usePaho(use);

test("user properties and Subscription Identifiers from mosquitto to MQTT.js", async () => {
  const topic = scope("properties");
  const client = await mqttJs.connect("ws", 5);
  await client.subscribeAsync(topic, { qos: 1, properties: { subscriptionIdentifier: 42 } });
  const received = arrival(client);
  const properties =
    "user-property a 1,user-property a 2,user-property b 3,content-type text/plain,response-topic reply/here," +
    "correlation-data c,payload-format-indicator 1";
  const options = properties.split(",").flatMap((property) => ["-D", "publish", ...property.split(" ")]);
  await mosquitto.done("mosquitto_pub", 5, ["-t", topic, "-m", "x", "-q", "1", ...options]);
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
  const topic = scope("properties");
  const options = ["-D", "subscribe", "subscription-identifier", "7", "-F", "properties: %P / %C / %R / %D"];
  const subscriber = await mosquitto.subscribe(5, topic, 1, options);
  const publisher = await mqttJs.connect("tcp", 5);
  const properties = {
    userProperties: { a: ["1", "2"], b: "3" },
    contentType: "text/plain",
    responseTopic: "r",
    correlationData: Buffer.from("c"),
  };
  await publisher.publishAsync(topic, "x", { qos: 1, properties });
  expect(await subscriber.line(/^properties:/)).toBe("properties: a:1 a:2 b:3 / text/plain / r / c");
  await subscriber.end();
});

test("user properties from paho to paho, in their order", async () => {
  const topic = scope("properties");
  const subscriber = await paho.connect("tcp", 5);
  expect(await subscriber.subscribe([topic], 1)).toEqual([1]);
  const publisher = await paho.connect("ws", 5);
  const user = [
    ["a", "1"],
    ["b", "2"],
    ["a", "3"],
  ] as const;
  await publisher.publish({ topic, payloads: ["x"], qos: 1, user });
  expect(((await subscriber.inbox.next()) as PahoMessage).user).toEqual(user);
});

test("MQTT.js works without a client id [MQTT-3.1.3-6], and so do its topic aliases [MQTT-3.3.2-12]", async () => {
  const topic = scope("properties");
  const client = await mqttJs.connect("ws", 5, { clientId: "", autoAssignTopicAlias: true });
  const subscriber = await mosquitto.subscribe(4, topic, 1);
  for (let number = 0; number < 5; number++) {
    await client.publishAsync(topic, String(number), { qos: 1 });
    expect(await subscriber.next()).toMatchObject({ topic, payload: String(number) });
  }
  await subscriber.end();
});
