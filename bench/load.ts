/**
 * The generator process: runs one scenario against one broker, reports one {@link Measurement} to its parent and ends.
 * A process per measurement, so that no run inherits another's heap, compiled code or sockets.
 *
 * Publisher and subscribers share this process and its one thread. Rates therefore include the cost of generating and
 * counting in so far as it runs on the broker's core, and latencies include one wake-up of this process.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "./client.ts";
import { cpuMicroseconds } from "./cpu.ts";
import type { LoadOrder, Measurement } from "./measurement.ts";
import { Flood, Publisher } from "./publisher.ts";
import { type Scenario, scenarioNamed } from "./scenarios.ts";
import { TIME_AT, Tally, countDeliveries } from "./subscriber.ts";

/** Connections opened at the same time: a broker's accept queue is not what is measured. */
const CONNECTING_MAX = 25;
/** How long after the last delivery the run waits for those still owed. */
const DRAIN_QUIET_MS = 1_500;
const DRAIN_MS_MAX = 10_000;

/** With large payloads the bytes that are owed are the tighter bound; always at least one message. */
const LEAD_BYTES_MAX = 4 * 1024 * 1024;

const order = JSON.parse(process.argv[2]!) as LoadOrder;
const failure = Promise.withResolvers<never>();

/** One end of the measured window. */
function mark(tally: Tally) {
  const { user, system } = process.cpuUsage();
  return {
    at: process.hrtime.bigint(),
    deliveries: tally.deliveries,
    brokerCpu: cpuMicroseconds(order.brokerPids),
    generatorCpu: user + system,
  };
}

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
  const client = await Client.connect(order.address, order.protocol, clientId);
  client.onFailure = (reason) => failure.reject(new Error(reason));
  return client;
}

/** Waits until all that is owed has arrived, or nothing more does. */
async function drained(tally: Tally, due: number): Promise<void> {
  const deadline = performance.now() + DRAIN_MS_MAX;
  let quietSince = performance.now();
  while (tally.deliveries < due && performance.now() < deadline && performance.now() - quietSince < DRAIN_QUIET_MS) {
    const before = tally.deliveries;
    await sleep(20);
    if (tally.deliveries !== before) quietSince = performance.now();
  }
}

function percentiles(latencies: Float64Array): Measurement["latencyMs"] {
  if (latencies.length === 0) return null;
  const sorted = latencies.toSorted();
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: sorted[sorted.length - 1]! };
}

async function run(): Promise<Measurement> {
  const scenario = scenarioNamed(order.scenario);
  const { pace, qos } = scenario;
  const id = `b${process.pid}`; // Client ids stay below 23 characters [MQTT-3.1.3-5].
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
    client.onReadEnd = onReadEnd;
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
  const from = mark(tally);
  await sleep(order.seconds * 1_000);
  const to = mark(tally);
  stopPublishing();
  await drained(tally, publisher.published * scenario.subscribers);

  for (const each of [client, ...subscribers]) each.destroy();
  return {
    seconds: Number(to.at - from.at) / 1e9,
    deliveries: to.deliveries - from.deliveries,
    brokerCpuMicroseconds: to.brokerCpu - from.brokerCpu,
    generatorCpuMicroseconds: to.generatorCpu - from.generatorCpu,
    lost: publisher.published * scenario.subscribers - tally.deliveries,
    misordered: tally.misordered,
    latencyMs: percentiles(Float64Array.from(latencies.slice(from.deliveries, to.deliveries))),
  };
}

// Whoever waits for the answer has gone: end as well.
process.on("disconnect", () => process.exit(1));
try {
  const measurement = await Promise.race([run(), failure.promise]);
  process.send?.({ measurement }, () => process.exit(0));
} catch (error) {
  process.send?.({ error: error instanceof Error ? error.message : String(error) }, () => process.exit(1));
}
