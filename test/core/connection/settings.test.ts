/** What an operator may ask for beyond the limits. */
import { describe, expect, test } from "vitest";
import type { Version } from "../../sim/world/client.ts";
import { World } from "../../sim/world/world.ts";

const TEXT = { payloadFormatIndicator: true };
const NO_TEXT = Buffer.from([0x61, 0xff]);

describe("PAYLOAD_FORMAT_CHECK", () => {
  function scene(payloadFormatCheck: boolean) {
    const world = new World({ shards: 1, settings: { payloadFormatCheck } });
    const subscriber = world.connected("subscriber");
    subscriber.subscribe("#", 2);
    return { world, subscriber, publisher: world.connected("publisher") };
  }

  test.each([1, 2] as const)(
    "[MQTT §3.3.2.3.2] refuses a QoS %i payload that is not the UTF-8 it is said to be",
    (qos) => {
      const { world, subscriber, publisher } = scene(true);
      publisher.publish("t", NO_TEXT as never, { qos, properties: TEXT });
      publisher.publish("t", "täxt\0", { qos, properties: TEXT });
      publisher.publish("t", NO_TEXT as never, { qos });
      world.settle();
      const answers = publisher.all(qos === 1 ? "puback" : "pubrec");
      expect(answers.map(({ reasonCode }) => reasonCode ?? 0)).toEqual([0x99, 0, 0]);
      expect(subscriber.all("publish").map(({ payload }) => payload)).toEqual([Buffer.from("täxt\0"), NO_TEXT]);
      expect(subscriber.all("publish")[0]!.properties).toMatchObject(TEXT);
      expect(publisher.closed).toBeUndefined();
    },
  );

  test("[MQTT §3.3.2.3.2] ends the connection for QoS 0, which has no other answer", () => {
    const { world, subscriber, publisher } = scene(true);
    publisher.publish("t", NO_TEXT as never, { properties: TEXT });
    world.settle();
    expect(publisher.last("disconnect")!.reasonCode).toBe(0x99);
    expect(subscriber.payloads).toEqual([]);
  });

  test("refuses a CONNECT with such a will", () => {
    const { world } = scene(true);
    const will = { topic: "will", payload: NO_TEXT, qos: 0, retain: false, properties: TEXT } as const;
    const client = world.client("client");
    client.connect({ will });
    world.settle();
    expect(client.last("connack")!.reasonCode).toBe(0x99);
  });

  test("off, passes everything on", () => {
    const { world, subscriber, publisher } = scene(false);
    publisher.publish("t", NO_TEXT as never, { qos: 1, properties: TEXT });
    world.settle();
    expect(subscriber.all("publish").map(({ payload }) => payload)).toEqual([NO_TEXT]);
  });
});

describe("SERVER_REFERENCE", () => {
  function refused(version: Version, options: object = {}) {
    const world = new World({ settings: { serverReference: "mqtt.example:8883" } });
    const client = world.client("client", version);
    client.connect(options);
    world.settle();
    expect(client.closed).toBe(1008);
    expect([...world.sessions.keys()]).toEqual([]);
    return client.last("connack")!;
  }

  test("[MQTT §3.2.2.3.16] sends every client there", () => {
    expect(refused(5)).toMatchObject({ reasonCode: 0x9d, properties: { serverReference: "mqtt.example:8883" } });
  });

  test("is nothing that a client before MQTT 5 can be told", () => {
    expect(refused(4).returnCode).toBe(3);
  });
});
