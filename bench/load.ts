/**
 * The generator process: runs one scenario against one broker, reports one {@link Measurement} to its parent and ends.
 * A process per measurement, so that no run inherits another's heap, compiled code or sockets.
 *
 * Publisher and subscribers share this process and its one thread. Rates therefore include the cost of generating and
 * counting in so far as it runs on the broker's core, and latencies include one wake-up of this process.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "./client.ts";
import type { LoadOrder, Measurement } from "./measurement.ts";
import { Flood, Publisher } from "./publisher.ts";
import { measureQueue } from "./queue.ts";
import { type Pace, type Scenario, scenarioNamed } from "./scenarios.ts";
import { beginSpan } from "./span.ts";
import { TIME_AT, Tally, allDelivered, countDeliveries } from "./subscriber.ts";

/** Connections opened at the same time: a broker's accept queue is not what is measured. */
const CONNECTING_MAX = 25;

/** With large payloads the bytes that are owed are the tighter bound; always at least one message. */
const LEAD_BYTES_MAX = 4 * 1024 * 1024;

const order = JSON.parse(process.argv[2]!) as LoadOrder;
const failure = Promise.withResolvers<never>();

async function connectSubscribers(scenario: Scenario, topic: string, run: string): Promise<Client[]> {
  const clients: Client[] = [];
  let next = 0;
  const connectSome = async (): Promise<void> => {
    while (next < scenario.subscribers) {
      const client = await connect(`${run}-s${next++}`);
      await client.subscribe(topic, scenario.qos);
      clients.push(client);
    }
  };
  await Promise.all(Array.from({ length: CONNECTING_MAX }, connectSome));
  return clients;
}

async function connect(clientId: string): Promise<Client> {
  const client = await open(clientId);
  await client.connect();
  return client;
}

async function open(clientId: string): Promise<Client> {
  const client = new Client(order.protocol, clientId);
  client.onFailure = (reason) => failure.reject(new Error(reason));
  await client.open(order.address);
  return client;
}

function percentiles(latencies: Float64Array): Measurement["latencyMs"] {
  if (latencies.length === 0) return null;
  const sorted = latencies.toSorted();
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: sorted[sorted.length - 1]! };
}

/** Deliveries to subscribers that are there, within a window of time. */
async function measureDeliveries(
  scenario: Scenario,
  pace: Exclude<Pace, { kind: "queue" }>,
  id: string,
): Promise<Measurement> {
  const { qos } = scenario;
  const topic = `bench/${id}/load`;
  const tally = new Tally();
  const latencies: number[] = [];

  const subscribers = await connectSubscribers(scenario, topic, id);
  const client = await connect(`${id}-p`);
  const publisher = new Publisher(client, qos, topic, order);

  let stopPublishing: () => void;
  if (pace.kind === "flood") {
    const flood = new Flood(
      publisher,
      tally,
      {
        ...pace,
        leadDeliveriesMax: order.leadDeliveriesMax ?? pace.leadDeliveriesMax,
        leadBytesMax: LEAD_BYTES_MAX,
        subscribers: scenario.subscribers,
      },
      order.payloadBytes,
    );
    const onReadEnd = (): void => flood.pump();
    publisher.onReadEnd = onReadEnd;
    for (const subscriber of subscribers) countDeliveries(subscriber, qos, order, tally, { onReadEnd });
    stopPublishing = () => flood.stop();
    flood.pump();
  } else {
    const onDelivery = (buffer: Buffer, payloadAt: number): void => {
      const written = buffer.readBigInt64BE(payloadAt + TIME_AT);
      latencies.push(Number(process.hrtime.bigint() - written) / 1e6);
    };
    for (const subscriber of subscribers) countDeliveries(subscriber, qos, order, tally, { onDelivery });
    const timer = setInterval(() => publisher.publish(1, process.hrtime.bigint()), 1_000 / pace.perSecond);
    stopPublishing = () => clearInterval(timer);
  }

  await sleep(order.warmupSeconds * 1_000);
  const endSpan = beginSpan(order.brokerPids);
  const before = tally.deliveries;
  await sleep(order.seconds * 1_000);
  const after = tally.deliveries;
  const delivering = endSpan(after - before);
  stopPublishing();
  await allDelivered(tally, publisher.published * scenario.subscribers);

  for (const each of [client, ...subscribers]) each.destroy();
  return {
    delivering,
    queueing: null,
    lost: publisher.published * scenario.subscribers - tally.deliveries,
    misordered: tally.misordered,
    latencyMs: percentiles(Float64Array.from(latencies.slice(before, after))),
  };
}

function run(): Promise<Measurement> {
  const scenario = scenarioNamed(order.scenario);
  const { pace, qos } = scenario;
  const id = `b${process.pid}`; // Client ids stay below 23 characters [MQTT-3.1.3-5].
  if (pace.kind === "queue") return measureQueue(order, pace, qos, id, open);
  return measureDeliveries(scenario, pace, id);
}

// Whoever waits for the answer has gone: end as well.
process.on("disconnect", () => process.exit(1));
try {
  const measurement = await Promise.race([run(), failure.promise]);
  process.send?.({ measurement }, () => process.exit(0));
} catch (error) {
  process.send?.({ error: error instanceof Error ? error.message : String(error) }, () => process.exit(1));
}
