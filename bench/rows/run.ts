/**
 * `npm run bench:rows`: does a message that waits for a hundred sessions cost more rows than one that waits for one?
 * The exit code is 1 if it costs over a fifth more, or if a message is lost, repeated or out of sequence.
 *
 * Rows are what is billed. They are counted, not estimated (worker/worker.ts), and for Dormouse alone. What 10,000
 * messages cost depends on how many come in one frame, so here that does not depend on timing: 100 leave in one frame,
 * and the next 100 when all of them are acknowledged.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Broker, startBroker } from "../../scripts/broker.ts";
import { Client } from "../client.ts";
import type { LoadOrder } from "../measurement.ts";
import { Publisher, publishAll } from "../publisher.ts";
import { OfflineSession } from "../queue.ts";
import { table } from "../report.ts";
import { Tally } from "../subscriber.ts";

const MESSAGES = 10_000;
const WINDOW = 100;
const SESSIONS = [1, 100] as const;
const RATIO_MAX = 1.2;

/** Sessions that connect at the same time. */
const CONNECTING_MAX = 25;
/** An object stores what is unsaved within a second, and trims its log then. */
const SETTLED_MS = 2_500;

/** Rows by table. */
type Rows = Record<string, number>;

const STEPS = ["subscribing", "queueing", "draining", "ending"] as const;
type Step = (typeof STEPS)[number];

/** What each step of one queue wrote. */
type Costs = Record<Step, Rows>;

async function rowsWritten(broker: Broker): Promise<Rows> {
  return (await (await fetch(`${broker.url}/rows-written`)).json()) as Rows;
}

/** What a step writes, with what is stored some time after it. */
async function costOf(broker: Broker, step: () => Promise<unknown>): Promise<Rows> {
  const before = await rowsWritten(broker);
  await step();
  let after = await rowsWritten(broker);
  for (let quietSince = performance.now(); performance.now() - quietSince < SETTLED_MS;) {
    await sleep(200);
    const now = await rowsWritten(broker);
    if (total(now) !== total(after)) quietSince = performance.now();
    after = now;
  }
  const rows = Object.entries(after).map(([name, count]) => [name, count - (before[name] ?? 0)] as const);
  return Object.fromEntries(rows.filter(([, count]) => count > 0));
}

function total(rows: Rows): number {
  return Object.values(rows).reduce((sum, count) => sum + count, 0);
}

/** Does something with each, some at a time. */
async function forEach<T>(all: readonly T[], one: (each: T) => Promise<void>): Promise<void> {
  const left = all.values();
  await Promise.all(
    Array.from({ length: CONNECTING_MAX }, async () => {
      for (const each of left) await one(each);
    }),
  );
}

async function measure(broker: Broker, count: number): Promise<{ costs: Costs; faults: number }> {
  const order: Omit<LoadOrder, "scenario"> = {
    address: { transport: "ws", wsUrl: broker.wsUrl, tcpPort: broker.tcpPort },
    protocol: 4,
    payloadBytes: 64,
    packetsPerFrame: WINDOW,
    leadDeliveriesMax: null,
    warmupSeconds: 0,
    seconds: 0,
    brokerPids: [],
  };
  const failure = Promise.withResolvers<never>();
  const open = async (clientId: string): Promise<Client> => {
    const client = new Client(order.protocol, clientId);
    client.onFailure = (reason) => failure.reject(new Error(reason));
    await client.open(order.address);
    return client;
  };
  const ids = Array.from({ length: count }, (_, index) => `rows-${index}`);
  const sessions: OfflineSession[] = [];
  let faults = 0;

  const run = async (): Promise<Costs> => {
    const subscribing = await costOf(broker, () =>
      forEach(ids, async (id) => void sessions.push(await OfflineSession.leave(open, id, "bench/rows", 1))),
    );
    const client = await open("rows-publisher");
    await client.connect();
    const publisher = new Publisher(client, 1, "bench/rows", order);
    const queueing = await costOf(broker, () => publishAll(publisher, MESSAGES, WINDOW, WINDOW));
    const draining = await costOf(broker, () =>
      forEach(sessions, async (session) => {
        const tally = new Tally();
        const returning = await session.client(MESSAGES, order, tally);
        await returning.drain();
        await returning.leave();
        faults += Math.abs(MESSAGES - tally.deliveries) + tally.misordered;
      }),
    );
    const ending = await costOf(broker, async () => {
      await forEach(sessions, (session) => session.end());
      await client.disconnect();
    });
    return { subscribing, queueing, draining, ending };
  };
  return { costs: await Promise.race([run(), failure.promise]), faults };
}

/** The same on a broker of its own, so that nothing is left of the one before. */
async function measureAlone(count: number): Promise<{ costs: Costs; faults: number }> {
  const stateDir = await mkdtemp(join(tmpdir(), "dormouse-bench-rows-"));
  const configPath = join(import.meta.dirname, "wrangler.toml");
  const broker = await startBroker({ port: 0, tcpPort: 0, stateDir, configPath });
  try {
    return await measure(broker, count);
  } finally {
    await broker.stop();
    await rm(stateDir, { recursive: true, force: true });
  }
}

async function main(): Promise<void> {
  const results: { costs: Costs; faults: number }[] = [];
  for (const count of SESSIONS) {
    console.error(`${MESSAGES} messages for ${count} offline`);
    results.push(await measureAlone(count));
  }
  const header = ["rows written", ...SESSIONS.flatMap((count) => [`${count} offline`, "to"])];
  const lines = STEPS.map((step) => [
    step,
    ...results.flatMap(({ costs }) => [String(total(costs[step])), tablesOf(costs[step])]),
  ]);
  console.log(table(header, lines).join("\n"));

  const [one, many] = results.map(({ costs }) => total(costs.queueing)) as [number, number];
  const ratio = many / one;
  console.log(
    `\nqueueing for ${SESSIONS[1]} ÷ queueing for ${SESSIONS[0]}: ${ratio.toFixed(2)} (at most ${RATIO_MAX})`,
  );
  const faults = results.reduce((sum, result) => sum + result.faults, 0);
  if (faults > 0) console.log(`${faults} deliveries lost, repeated or out of sequence`);
  if (!(ratio <= RATIO_MAX) || faults > 0) process.exitCode = 1;
}

function tablesOf(rows: Rows): string {
  return Object.entries(rows)
    .map(([name, count]) => `${name} ${count}`)
    .join(", ");
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
