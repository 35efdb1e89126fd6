/** Many messages at once, from programs that do not wait for one to be acknowledged before they send the next. */
import { describe, expect, test } from "vitest";
import { scope, useBroker } from "../broker/support/broker.ts";
import { type Version, versionName, VERSIONS } from "../broker/support/client.ts";
import { useMosquitto } from "./programs/mosquitto.ts";
import { sessionOptions, useMqttJs } from "./programs/mqtt-js.ts";
import { usePaho } from "./programs/paho.ts";
import type { Message, Qos, Subscriber } from "./programs/program.ts";

const use = useBroker();
const mqttJs = useMqttJs(use);
const mosquitto = useMosquitto(use);
const paho = usePaho(use);

const LINES = Array.from({ length: 1000 }, (_, number) => `line-${number}`);

/** mosquitto_pub, a line of standard input a message. */
function publishLines(lines: string[], version: Version, topic: string, qos: Qos): Promise<string> {
  return mosquitto.done("mosquitto_pub", version, ["-t", topic, "-q", String(qos), "-l"], `${lines.join("\n")}\n`);
}

/** All of them, in their order, and nothing twice behind them. */
async function receivesLines(subscriber: Pick<Subscriber, "next">, topic: string, qos: number): Promise<void> {
  for (const payload of LINES) expect(await subscriber.next()).toMatchObject({ payload, qos });
  await mosquitto.done("mosquitto_pub", 4, ["-t", topic, "-q", "1", "-m", "fence"]);
  expect((await subscriber.next()).payload).toBe("fence");
}

describe("a thousand messages arrive in their order", () => {
  test.each([
    [4, 1],
    [4, 2],
    [5, 2],
  ] as const)("from mosquitto_pub -l to mosquitto_sub, protocol level %i and QoS %i", async (version, qos) => {
    const topic = scope("burst");
    const subscriber = await mosquitto.subscribe(5, topic, qos);
    await publishLines(LINES, version, topic, qos);
    await receivesLines(subscriber, topic, qos);
    await subscriber.end();
  });

  test.each([
    ["tcp", 4, 1],
    ["ws", 4, 2],
    ["ws", 5, 1],
    ["tcp", 5, 2],
  ] as const)("from paho to paho over %s, protocol level %i and QoS %i", async (transport, version, qos) => {
    const topic = scope("burst");
    const subscriber = await paho.connect(transport, version);
    expect(await subscriber.subscribe([topic], qos)).toEqual([qos]);
    const publisher = await paho.connect(transport, version);
    await publisher.publish({ topic, payloads: LINES, qos });
    await receivesLines(subscriber.inbox, topic, qos);
  });
});

test.each(VERSIONS.map((version) => [versionName(version), version] as const))(
  "what mosquitto_pub -l of MQTT %s sends to a session of MQTT.js that is away arrives once, at QoS 1 and 2",
  async (_name, version) => {
    const topic = scope("burst");
    const transport = version === 4 ? "tcp" : "ws";
    const options = sessionOptions(version, `away-${version}`);
    const first = await mqttJs.connect(transport, version, options);
    await first.subscribeAsync(`${topic}/+`, { qos: 2 });
    await first.endAsync();
    const lines = LINES.slice(0, 50);
    for (const qos of [0, 1, 2] as const) await publishLines(lines, version, `${topic}/${qos}`, qos);
    const { inbox } = await mqttJs.receive(transport, version, options);
    const came: Message[] = [];
    for (let left = 100; left > 0; left--) came.push(await inbox.next());
    for (const qos of [1, 2])
      expect(came.filter((one) => one.qos === qos).map(({ payload }) => payload)).toEqual(lines);
    await mosquitto.done("mosquitto_pub", version, ["-t", `${topic}/x`, "-q", "1", "-m", "fence"]);
    expect((await inbox.next()).payload).toBe("fence");
  },
);

test("mosquitto_pub and mosquitto_sub at QoS 2 go through the whole exchange [MQTT-4.3.3-4]", async () => {
  const topic = scope("burst");
  const subscriber = await mosquitto.subscribe(5, topic, 2);
  const output = await mosquitto.done("mosquitto_pub", 5, ["-d", "-t", topic, "-m", "x", "-q", "2"]);
  for (const packet of ["PUBREC", "PUBREL", "PUBCOMP"]) expect(output).toContain(packet);
  expect(await subscriber.next()).toMatchObject({ payload: "x", qos: 2 });
  await subscriber.line(/received PUBREL/);
  await subscriber.line(/sending PUBCOMP/);
  await subscriber.end();
});
