/** MQTT.js in a page with each of the other client programs, both ways, and with itself. */
import { describe, expect, test } from "vitest";
import { scope, useBroker } from "../broker/support/broker.ts";
import { VERSIONS } from "../broker/support/client.ts";
import { type PageMessage, useChromium } from "../clients/programs/chromium.ts";
import { allPrograms, exchangesOf, expires } from "../clients/programs/matrix.ts";
import { useMosquitto } from "../clients/programs/mosquitto.ts";
import { arrival, useMqttJs } from "../clients/programs/mqtt-js.ts";
import { usePaho } from "../clients/programs/paho.ts";

// The page is of another server.
const use = useBroker({ ORIGINS: "*" });
const chromium = useChromium(use);
const mqttJs = useMqttJs(use);
const others = allPrograms(mqttJs, useMosquitto(use), usePaho(use));
const pages = VERSIONS.map((version) => chromium.program(version));

describe.each(pages)("from $name", (from) => {
  describe.each([...others, ...pages])("to $name", (to) => {
    test.each(exchangesOf(from))("$name", async ({ run }) => {
      await run(from, to);
      expect(chromium.complaints).toEqual([]);
    });
  });
});

describe.each(others)("from $name", (from) => {
  describe.each(pages)("to $name", (to) => {
    test.each(exchangesOf(from))("$name", async ({ run }) => {
      await run(from, to);
      expect(chromium.complaints).toEqual([]);
    });
  });
});

const five = [...others, ...pages].filter(({ version }) => version === 5);

// Chromium delays WebSockets that are opened many at a time, so a page does not send to everybody at once.
test.each(five)("from $name: what has expired is neither retained nor queued any more", (from) =>
  expires(from, from.name.endsWith("page") ? five : pages),
);

test("user properties and Subscription Identifiers, to a page and from it", async () => {
  const base = scope("browser");
  const inside = await chromium.connect(5);
  const outside = await mqttJs.connect("tcp", 5);
  await inside.subscribe([`${base}/down`], { qos: 1, properties: { subscriptionIdentifier: 3 } });
  const properties = { userProperties: { from: ["t", "c", "p"], ü: "🐭" } };
  await outside.publishAsync(`${base}/down`, "x", { qos: 1, properties });
  const message = (await inside.inbox.next()) as PageMessage;
  expect(message).toMatchObject({ user: properties.userProperties, subscription: 3 });
  await outside.subscribeAsync(`${base}/up`, { qos: 1 });
  const received = arrival(outside);
  await inside.publish(`${base}/up`, "x", { qos: 1, properties });
  expect({ ...(await received)[2].properties?.userProperties }).toEqual(properties.userProperties);
  expect(chromium.complaints).toEqual([]);
});
