/**
 * What each failure does, on the real thing: workerd, real sockets, a load of every kind, and for each row of the kill
 * matrix of docs/architecture.md what it says fails, again and again. `npm run torture` does the same for longer, with
 * all faults at once and with other seeds.
 */
import mqtt from "mqtt";
import { expect, test } from "vitest";
import { everybody } from "../trial/cast.ts";
import { fault, type FaultName } from "../trial/faults.ts";
import { explanation, summary } from "../trial/report.ts";
import { type Outcome, trial } from "../trial/trial.ts";
import { RealSite } from "./site.ts";

interface Row {
  readonly fails: string;
  readonly faults: readonly FaultName[];
  readonly everyMs: number;
  readonly seed: number;
}

/** As long as each may take at most, and no more: a row has to find its fault many times over. */
const SECONDS = 6;

const ROWS: readonly Row[] = [
  { fails: "the client's network", faults: ["socket"], everyMs: 200, seed: 1 },
  { fails: "the Worker that holds the connection", faults: ["worker"], everyMs: 300, seed: 2 },
  { fails: "a shard, or links to it", faults: ["shard-abort", "shard-cut"], everyMs: 250, seed: 3 },
  { fails: "a session object, or links to it", faults: ["session-abort", "session-cut"], everyMs: 200, seed: 4 },
  {
    fails: "a shard and Workers, or sessions, at once",
    faults: ["shard-and-worker", "objects"],
    everyMs: 400,
    seed: 5,
  },
  { fails: "everything at once (kill -9)", faults: ["kill"], everyMs: 1200, seed: 6 },
  { fails: "storage", faults: ["writes", "mid-write", "disk-full"], everyMs: 300, seed: 7 },
  { fails: "nothing, objects only sleep", faults: ["shard-evict", "session-evict"], everyMs: 100, seed: 8 },
];

// Sockets and workerd are real: a seed repeats what is done, not when it meets what.
test.each(ROWS)("every promise is kept when what fails is: $fails (seed $seed)", { timeout: 120_000 }, async (row) => {
  const outcome = await round(row, await RealSite.open());
  const broken = outcome.violations.length + outcome.stuck.length > 0;
  if (broken) expect.fail(`seed ${row.seed}\n${summary(outcome)}\n${explanation(outcome)}`);
});

test("a disk that forgets what it was told to write is found out (seed 9)", { timeout: 120_000 }, async () => {
  const row: Row = { fails: "honesty", faults: ["lie", "lie", "kill"], everyMs: 300, seed: 9 };
  const outcome = await round(row, await RealSite.open({}, 3000));
  const rules = new Set(outcome.violations.map(({ rule }) => rule));
  expect([...rules].some((rule) => rule === "lost" || rule === "repeated" || rule === "retained")).toBe(true);
});

test("a Worker that dies takes the links of its client, and of nobody else", { timeout: 60_000 }, async () => {
  const site = await RealSite.open();
  const { wsUrl } = await site.address;
  const clients = await Promise.all(
    ["dying", "living"].map((clientId) => mqtt.connectAsync(wsUrl, { clientId, reconnectPeriod: 0 })),
  );
  try {
    const [dying, living] = clients;
    await Promise.all(clients.map((client) => client.subscribeAsync("t", { qos: 1 })));
    await site.killWorker("dying");
    const said: string[] = [];
    dying!.on("message", (_, payload) => void said.push(`dying hears ${payload.toString()}`));
    living!.on("message", (_, payload) => void said.push(`living hears ${payload.toString()}`));
    void dying!.publishAsync("t", "nothing", { qos: 1 }).then(
      () => said.push("dying has published"),
      () => {},
    );
    for (const payload of ["1", "2"]) await living!.publishAsync("t", payload, { qos: 1 });
    await expect.poll(() => said).toEqual(["living hears 1", "living hears 2"]);
  } finally {
    await Promise.all(clients.map((client) => client.endAsync(true)));
    await site.close();
  }
});

function round({ seed, faults, everyMs }: Row, site: RealSite): Promise<Outcome> {
  return trial({ seed, seconds: SECONDS, cast: everybody, faults: faults.map(fault), faultEveryMs: everyMs }, site);
}
