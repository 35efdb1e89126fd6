/** Which programs there are, and what each pair of them does with each other. */
import { expect } from "vitest";
import { scope } from "../../broker/support/broker.ts";
import { VERSIONS } from "../../broker/support/client.ts";
import { TRANSPORTS } from "../../broker/support/wire.ts";
import type { Mosquitto } from "./mosquitto.ts";
import type { MqttJs } from "./mqtt-js.ts";
import type { Paho } from "./paho.ts";
import { freshClientId, type Message, type Program, type Qos, type Subscriber } from "./program.ts";

/** All that need no browser. */
export function allPrograms(mqttJs: MqttJs, mosquitto: Mosquitto, paho: Paho): Program[] {
  return [
    ...VERSIONS.flatMap((version) => TRANSPORTS.map((transport) => mqttJs.program(transport, version))),
    ...VERSIONS.map((version) => mosquitto.program(version)),
    ...VERSIONS.flatMap((version) => TRANSPORTS.map((transport) => paho.program(transport, version))),
  ];
}

/** What one program sends another. Each exchange has topics of its own. */
export interface Exchange {
  readonly name: string;
  /** The sender has to speak MQTT 5.0. */
  readonly five?: true;
  run(from: Program, to: Program): Promise<void>;
}

const LARGE = "0123456789abcdef".repeat(57_600); // 921,600 bytes
const QUEUED = Array.from({ length: 6 }, (_, number) => ({
  payload: `queued ${number}`,
  qos: (1 + (number % 2)) as Qos,
}));

const EXCHANGES: readonly Exchange[] = [
  {
    name: "QoS 0, 1 and 2, each once, in Unicode",
    async run(from, to) {
      const base = scope("programs");
      const subscriber = await to.subscribe(`${base}/#`, 2);
      for (const qos of [0, 1, 2] as const) {
        const message = { topic: `${base}/пример/例え/ünï/🐭`, payload: `größer als ${qos} 🐭`, qos };
        await from.publish(message);
        await receives(subscriber, { ...message, retain: false });
      }
      await nothingMore(from, base, subscriber);
    },
  },
  {
    name: "a retained message, to who is there and who comes later, until it is cleared",
    async run(from, to) {
      const base = scope("programs");
      const message = { topic: `${base}/kept`, payload: "kept", qos: 2, retain: true } as const;
      const early = await to.subscribe(`${base}/#`, 2);
      await from.publish(message);
      await receives(early, { ...message, retain: false });
      for (const qos of [0, 1, 2] as const) {
        const late = await to.subscribe(`${base}/kept`, qos);
        await receives(late, { ...message, qos });
        await late.end();
      }
      await from.publish({ ...message, payload: "" });
      await receives(early, { ...message, payload: "", retain: false });
      const last = await to.subscribe(`${base}/#`, 1);
      await nothingMore(from, base, last);
      await nothingMore(from, base, early);
    },
  },
  {
    name: "a will",
    async run(from, to) {
      const topic = `${scope("programs")}/will`;
      const subscriber = await to.subscribe(topic, 2);
      await from.vanish({ topic, payload: "gone" });
      await receives(subscriber, { topic, payload: "gone", qos: 1, retain: false });
      await subscriber.end();
    },
  },
  {
    name: "what waits for a session that is away",
    async run(from, to) {
      const base = scope("programs");
      const clientId = freshClientId();
      const filters = [`${base}/queued`, `${base}/fence`];
      const before = await to.subscribe(filters, 2, clientId);
      await before.end();
      for (const message of QUEUED) await from.publish({ topic: `${base}/queued`, ...message });
      const after = await to.resume(filters, 2, clientId);
      const came: Message[] = [];
      while (came.length < QUEUED.length) came.push(await after.next());
      // A client may hand out a QoS 2 message when it is released, so the order is each QoS's own.
      for (const qos of [1, 2]) {
        const of = (all: readonly { payload: string; qos: number }[]): string[] =>
          all.filter((one) => one.qos === qos).map(({ payload }) => payload);
        expect(of(came)).toEqual(of(QUEUED));
      }
      await nothingMore(from, base, after);
    },
  },
  {
    name: "work for a share group of two, each piece to one of them [§4.8.2]",
    async run(from, to) {
      const base = scope("programs");
      const [work, end] = [`${base}/work`, `${base}/end`];
      const filters = [`$share/crew/${work}`, end];
      const crew = [await to.subscribe(filters, 1), await to.subscribe(filters, 1)];
      const pieces = ["one", "two", "three", "four"];
      for (const payload of pieces) await from.publish({ topic: work, payload, qos: 1 });
      await from.publish({ topic: end, payload: "end", qos: 1 });
      const done: string[][] = [];
      for (const member of crew) {
        const its: string[] = [];
        for (let message = await member.next(); message.topic !== end; message = await member.next()) {
          its.push(message.payload);
        }
        done.push(its);
        await member.end();
      }
      expect(done.flat().toSorted()).toEqual(pieces.toSorted());
      expect(done.map(({ length }) => length)).toEqual([2, 2]);
    },
  },
  {
    name: "900 kB",
    async run(from, to) {
      const topic = `${scope("programs")}/large`;
      const subscriber = await to.subscribe(topic, 1);
      await from.publish({ topic, payload: LARGE, qos: 1 });
      const { payload } = await subscriber.next();
      expect(payload.length).toBe(LARGE.length);
      expect(payload === LARGE).toBe(true);
      await subscriber.end();
    },
  },
  {
    name: "a message expiry, live and retained",
    five: true,
    async run(from, to) {
      const topic = `${scope("programs")}/expires`;
      const live = await to.subscribe(topic, 1);
      await from.publish({ topic, payload: "perishable", qos: 1, retain: true, expirySeconds: 600 });
      const late = await to.subscribe(topic, 1);
      for (const subscriber of [live, late]) {
        const { expirySeconds, ...message } = await subscriber.next();
        expect(message).toEqual({ topic, payload: "perishable", qos: 1, retain: subscriber === late });
        if (to.version < 5) expect(expirySeconds).toBeUndefined();
        else expect(expirySeconds).toSatisfy((left: number) => left > 570 && left <= 600);
        await subscriber.end();
      }
    },
  },
];

export function exchangesOf(from: Program): readonly Exchange[] {
  return EXCHANGES.filter(({ five }) => five === undefined || from.version === 5);
}

/** What expires, retained and in a queue, is neither of them any more; of one sender, to all that receive. */
export async function expires(from: Program, all: readonly Program[]): Promise<void> {
  await Promise.all(
    all.map(async (to) => {
      const base = scope("programs");
      const [kept, queued, fence] = [`${base}/kept`, `${base}/queued`, `${base}/fence`];
      const clientId = freshClientId();
      await (await to.subscribe([queued, fence], 1, clientId)).end();
      const perishable = { payload: "perishable", qos: 1, expirySeconds: 1 } as const;
      await from.publish({ topic: queued, ...perishable });
      await from.publish({ topic: queued, payload: "lasting", qos: 1 });
      await from.publish({ topic: kept, ...perishable, retain: true });
      await from.publish({ topic: fence, payload: "fence", qos: 1, retain: true });
      // Asked for again and again until only the other one is there.
      for (let topic = kept; topic === kept;) {
        const late = await to.subscribe([kept, fence], 1);
        ({ topic } = await late.next());
        await late.end();
      }
      const after = await to.resume([queued, fence], 1, clientId);
      await receives(after, { topic: queued, payload: "lasting", qos: 1, retain: false });
      await after.end();
    }),
  );
}

async function receives(subscriber: Subscriber, message: Message): Promise<void> {
  expect(await subscriber.next()).toEqual(message);
}

/** The next message is one that was sent just now, so nothing came twice. Then the subscriber leaves. */
async function nothingMore(from: Program, base: string, subscriber: Subscriber): Promise<void> {
  const fence = { topic: `${base}/fence`, payload: "fence", qos: 1 } as const;
  await from.publish(fence);
  await receives(subscriber, { ...fence, retain: false });
  await subscriber.end();
}
