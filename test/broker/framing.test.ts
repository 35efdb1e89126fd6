/** [MQTT-6.0.0-2] Frames and segments are not packets: one packet in many, many in one, and every cut between. */
import { describe, expect, test } from "vitest";
import { scope, useBroker } from "./support/broker.ts";
import { Client, type Version, VERSIONS, versionName } from "./support/client.ts";
import { TRANSPORTS } from "./support/wire.ts";

const use = useBroker();

/** A whole conversation in one piece: CONNECT, SUBSCRIBE, PUBLISH, PINGREQ. */
function conversation(client: Client, topic: string): Buffer {
  return Buffer.concat([
    client.encode(client.connectPacket()),
    client.encode({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic, qos: 0 }] }),
    client.encode(client.publishPacket(topic, "in pieces", { qos: 0 })),
    client.encode({ cmd: "pingreq" }),
  ]);
}

/** What comes back, in the order of each part of the broker that it comes from. */
async function expectConversation(client: Client, topic: string): Promise<void> {
  await client.expectPacket({ cmd: "connack" });
  await client.take(({ cmd }) => cmd === "pingresp", "PINGRESP");
  await client.take(({ cmd }) => cmd === "suback", "SUBACK");
  await client.expectMessage(topic, "in pieces");
}

describe.each(TRANSPORTS)("over %s", (transport) => {
  describe.each(VERSIONS.map((version): [string, Version] => [versionName(version), version]))(
    "version %s",
    (_name, version) => {
      test("everything at once, without waiting for CONNACK [MQTT-3.1.4-6]", async () => {
        const topic = scope();
        const client = await Client.open(use.broker, transport, version);
        client.sendBytes(conversation(client, topic));
        await expectConversation(client, topic);
      });

      test("every byte by itself", async () => {
        const topic = scope();
        const client = await Client.open(use.broker, transport, version);
        for (const byte of conversation(client, topic)) client.sendBytes([byte]);
        await expectConversation(client, topic);
      });

      test("cut in two at every byte", async () => {
        const topic = scope();
        let cuts = 0;
        for (let at = 1; ; at++) {
          const client = await Client.open(use.broker, transport, version);
          const bytes = conversation(client, `${topic}/${at}`);
          if (at === bytes.length) break;
          client.sendBytes(bytes.subarray(0, at));
          client.sendBytes(bytes.subarray(at));
          await expectConversation(client, `${topic}/${at}`);
          client.cut();
          cuts += 1;
        }
        expect(cuts).toBeGreaterThan(50);
      });
    },
  );

  test("a thousand packets in one frame are answered in their order [MQTT-4.2-1], [MQTT-4.6.0-5]", async () => {
    const topic = scope();
    const client = await Client.connected(use.broker, transport, 4);
    await client.subscribe(topic);
    const packets = Array.from({ length: 1000 }, (_, number) =>
      client.encode(client.publishPacket(topic, String(number), { qos: 1 })),
    );
    client.sendBytes(...packets);
    const payloads: string[] = [];
    const acknowledged: number[] = [];
    while (payloads.length + acknowledged.length < 2000) {
      const packet = await client.next();
      if (packet.cmd === "puback") acknowledged.push(packet.messageId!);
      if (packet.cmd !== "publish") continue;
      payloads.push(packet.payload.toString());
      client.send({ cmd: "puback", messageId: packet.messageId! });
    }
    expect(payloads).toEqual(Array.from({ length: 1000 }, (_, number) => String(number)));
    expect(acknowledged).toEqual(Array.from({ length: 1000 }, (_, number) => acknowledged[0]! + number));
  });

  test("an empty frame is nothing", async () => {
    const client = await Client.open(use.broker, transport);
    client.sendBytes([]);
    await client.connect();
    client.sendBytes([]);
    await client.expectNothing();
  });
});
