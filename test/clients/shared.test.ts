/** Shared subscriptions [§4.8.2], with members that are different programs. */
import { describe, expect, test } from "vitest";
import { scope, useBroker } from "../broker/support/broker.ts";
import { allPrograms } from "./programs/matrix.ts";
import { useMosquitto } from "./programs/mosquitto.ts";
import { useMqttJs } from "./programs/mqtt-js.ts";
import { usePaho } from "./programs/paho.ts";
import { freshClientId, type Program, type Qos, type Subscriber } from "./programs/program.ts";

const use = useBroker();
const mqttJs = useMqttJs(use);
const programs = allPrograms(mqttJs, useMosquitto(use), usePaho(use)).filter(({ version }) => version === 5);

const JOBS = Array.from({ length: 100 }, (_, number) => `job ${number}`);

/** What members received until each was sent a fence, which happens when together they have as many as were owed. */
class Crew {
  readonly received: string[][];
  readonly #base: string;
  readonly #subscribers: readonly Subscriber[];

  private constructor(base: string, subscribers: readonly Subscriber[]) {
    this.#base = base;
    this.#subscribers = subscribers;
    this.received = subscribers.map(() => []);
  }

  /** Each subscribes with its filter, and everybody to what ends the test. */
  static async of(base: string, members: readonly (readonly [Program, string])[], qos: Qos): Promise<Crew> {
    const subscribers: Subscriber[] = [];
    for (const [program, filter] of members) subscribers.push(await program.subscribe([filter, `${base}/fence`], qos));
    return new Crew(base, subscribers);
  }

  async collect(owed: number, qos: Qos): Promise<void> {
    let total = 0;
    const { promise, resolve } = Promise.withResolvers<void>();
    const collecting = this.#subscribers.map(async (subscriber, index) => {
      for (;;) {
        const { topic, payload } = await subscriber.next();
        if (topic === `${this.#base}/fence`) return;
        this.received[index]!.push(payload);
        if (++total === owed) resolve();
      }
    });
    if (owed === 0) resolve();
    // Whoever waits in vain says so.
    await Promise.race([promise, Promise.all(collecting)]);
    await publish(`${this.#base}/fence`, ["fence"], qos);
    await Promise.all(collecting);
    await Promise.all(this.#subscribers.map((subscriber) => subscriber.end()));
  }
}

/** In MQTT 3.1.1: who publishes need not know of groups. */
async function publish(topic: string, payloads: readonly string[], qos: Qos): Promise<void> {
  const client = await mqttJs.connect("tcp", 4);
  await Promise.all(payloads.map((payload) => client.publishAsync(topic, payload, { qos })));
  await client.endAsync();
}

const numbered = (payloads: readonly string[]): string[] =>
  payloads.toSorted((a, b) => JOBS.indexOf(a) - JOBS.indexOf(b));

describe.each(programs)("$name", (one) => {
  describe.each(programs)("and $name", (other) => {
    test.each([0, 1, 2] as const)("share what is published at QoS %i: nothing lost, nothing twice", async (qos) => {
      const base = scope("shared");
      const filter = `$share/workers/${base}/jobs/#`;
      const members = [
        [one, filter],
        [other, filter],
      ] as const;
      const crew = await Crew.of(base, members, qos);
      await publish(`${base}/jobs/x`, JOBS, qos);
      await crew.collect(JOBS.length, qos);
      expect(numbered(crew.received.flat())).toEqual(JOBS);
      for (const received of crew.received) expect(received.length).toBeGreaterThan(0);
    });
  });

  test("is the whole group when the other member has left", async () => {
    const base = scope("shared");
    const filter = `$share/workers/${base}/jobs`;
    const crew = await Crew.of(base, [[one, filter]], 1);
    const leaver = await programs[0]!.subscribe(filter, 1);
    await leaver.end();
    await publish(`${base}/jobs`, JOBS, 1);
    await crew.collect(JOBS.length, 1);
    expect(crew.received).toEqual([JOBS]);
  });

  test("gets everything beside a group, and so does every other group", async () => {
    const base = scope("shared");
    const members = [
      [one, `$share/workers/${base}/jobs`],
      [programs[0]!, `$share/watchers/${base}/jobs`],
      [programs.at(-1)!, `${base}/jobs`],
    ] as const;
    const crew = await Crew.of(base, members, 1);
    await publish(`${base}/jobs`, JOBS, 1);
    await crew.collect(3 * JOBS.length, 1);
    for (const received of crew.received) expect(received).toEqual(JOBS);
  });

  test("finds what waited while it was the only member and away", async () => {
    const base = scope("shared");
    const filters = [`$share/workers/${base}/jobs`, `${base}/fence`];
    const clientId = freshClientId();
    await (await one.subscribe(filters, 1, clientId)).end();
    await publish(`${base}/jobs`, JOBS, 1);
    await publish(`${base}/fence`, ["fence"], 1);
    const subscriber = await one.resume(filters, 1, clientId);
    const received: string[] = [];
    while (received.length < JOBS.length + 1) received.push((await subscriber.next()).payload);
    // What waits for the session and what waits for the group are two queues, each in its order.
    expect(received.filter((payload) => payload !== "fence")).toEqual(JOBS);
    await subscriber.end();
  });

  test("is sent no retained message when it joins [§4.8.2]", async () => {
    const base = scope("shared");
    await one.publish({ topic: `${base}/jobs`, payload: "kept", qos: 1, retain: true });
    const crew = await Crew.of(base, [[one, `$share/workers/${base}/jobs`]], 1);
    await crew.collect(0, 1);
    expect(crew.received).toEqual([[]]);
  });
});
