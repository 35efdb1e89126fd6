/**
 * `npm run bench`: Dormouse and its peers on this machine, one after another, in turn within every round, so that a
 * ratio compares runs that are seconds apart. README.md says how to read the numbers.
 */

import { fork } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { cpus, loadavg } from "node:os";
import { URL } from "node:url";
import { parseArgs } from "node:util";
import type { LoadOrder, Measurement } from "./measurement.ts";
import type { ProtocolLevel } from "./mqtt-frames.ts";
import { type RunFacts, type ScenarioResult, inBrief, report, scenarioSection } from "./report.ts";
import { SCENARIOS, type Scenario, scenarioNamed } from "./scenarios.ts";
import { PAYLOAD_BYTES_MIN } from "./subscriber.ts";
import { startAedes } from "./targets/aedes.ts";
import { startDormouse } from "./targets/dormouse.ts";
import { startMosquitto } from "./targets/mosquitto.ts";
import type { Target } from "./targets/target.ts";
import type { TransportKind } from "./transport.ts";

const USAGE = `npm run bench -- [options]
  --scenario A,B         ${SCENARIOS.map((one) => one.name).join(", ")} (default: all)
  --peers A,B            mosquitto, aedes or none (default: both, where installed)
  --peers-only           without Dormouse
  --rounds N             (default 3)
  --seconds N            measured window (default 5); queue takes what its 10,000 messages take
  --warmup N             seconds before it (default 2)
  --transport ws|tcp     (default ws)
  --protocol 3.1.1|5     (default 3.1.1; aedes has no 5)
  --payload N            bytes (default 64)
  --packets-per-frame N  MQTT packets in one WebSocket frame (default 1, as clients do)
  --lead N               deliveries owed at most, instead of the scenario's bound (not in queue)
  --var NAME=VALUE       a setting of Dormouse, instead of wrangler.toml's; may be repeated
  --save NAME            also writes bench/results/NAME.md`;

const PEERS = { mosquitto: startMosquitto, aedes: startAedes } as const;
// Connecting subscribers and draining take time as well; beyond this a measurement is given up.
const OVERHEAD_SECONDS_MAX = 90;

type Options = ReturnType<typeof parseOptions>;

function parseOptions() {
  const { values } = parseArgs({
    options: {
      scenario: { type: "string", default: SCENARIOS.map((one) => one.name).join(",") },
      peers: { type: "string", default: Object.keys(PEERS).join(",") },
      "peers-only": { type: "boolean", default: false },
      rounds: { type: "string", default: "3" },
      seconds: { type: "string", default: "5" },
      warmup: { type: "string", default: "2" },
      transport: { type: "string", default: "ws" },
      protocol: { type: "string", default: "3.1.1" },
      payload: { type: "string", default: "64" },
      "packets-per-frame": { type: "string", default: "1" },
      lead: { type: "string" },
      var: { type: "string", multiple: true, default: [] },
      save: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    process.exit(0);
  }
  return {
    scenarios: values.scenario.split(",").map(scenarioNamed),
    peers: values.peers === "none" ? [] : values.peers.split(",").map(peerNamed),
    peersOnly: values["peers-only"],
    rounds: whole("--rounds", values.rounds, 1, 100),
    seconds: between("--seconds", values.seconds, 0.5, 300),
    warmupSeconds: between("--warmup", values.warmup, 0, 300),
    transport: oneOf<TransportKind>("--transport", values.transport, { ws: "ws", tcp: "tcp" }),
    protocol: oneOf<ProtocolLevel>("--protocol", values.protocol, { "3.1.1": 4, "5": 5 }),
    payloadBytes: whole("--payload", values.payload, PAYLOAD_BYTES_MIN, 60_000),
    packetsPerFrame: whole("--packets-per-frame", values["packets-per-frame"], 1, 128),
    leadDeliveriesMax: values.lead === undefined ? null : whole("--lead", values.lead, 1, 1_000_000),
    settings: Object.fromEntries(values.var.map(setting)),
    save: values.save ?? null,
  };
}

function between(option: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (!(value >= min && value <= max)) throw new Error(`${option} must be from ${min} to ${max}`);
  return value;
}

function whole(option: string, text: string, min: number, max: number): number {
  const value = between(option, text, min, max);
  if (!Number.isInteger(value)) throw new Error(`${option} must be a whole number`);
  return value;
}

function oneOf<T>(option: string, text: string, choices: Record<string, T>): T {
  const choice = choices[text];
  if (choice === undefined) throw new Error(`${option} must be one of ${Object.keys(choices).join(", ")}`);
  return choice;
}

function setting(text: string): [name: string, value: string] {
  const [, name, value] = /^(\w+)=(.*)$/s.exec(text) ?? [];
  if (name === undefined || value === undefined) throw new Error("--var must be NAME=VALUE");
  return [name, value];
}

function peerNamed(name: string): keyof typeof PEERS {
  return oneOf("--peers", name, { mosquitto: "mosquitto", aedes: "aedes" } as const);
}

async function startTargets(options: Options): Promise<Target[]> {
  const targets: Target[] = [];
  try {
    if (!options.peersOnly) targets.push(await naming("dormouse", startDormouse(options.settings)));
    for (const name of options.peers) {
      const peer = await naming(name, PEERS[name]());
      if (peer) targets.push(peer);
      else console.error(`${name} is not installed: left out`);
    }
    return targets;
  } catch (error) {
    await stopAll(targets);
    throw error;
  }
}

async function naming<T>(name: string, starting: Promise<T>): Promise<T> {
  try {
    return await starting;
  } catch (error) {
    throw new Error(`${name} did not start: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function stopAll(targets: readonly Target[]): Promise<void> {
  await Promise.all(targets.map((target) => target.stop()));
}

/** One scenario once on one target, in a generator process of its own. A string says why there is no measurement. */
function measure(target: Target, scenario: Scenario, options: Options): Promise<Measurement | string> {
  if (!target.protocols.includes(options.protocol)) return Promise.resolve("protocol not supported");
  const order: LoadOrder = {
    scenario: scenario.name,
    address: { transport: options.transport, wsUrl: target.wsUrl, tcpPort: target.tcpPort },
    protocol: options.protocol,
    payloadBytes: options.payloadBytes,
    packetsPerFrame: options.packetsPerFrame,
    leadDeliveriesMax: options.leadDeliveriesMax,
    warmupSeconds: options.warmupSeconds,
    seconds: options.seconds,
    brokerPids: target.pids(),
  };
  const load = fork(new URL("load.ts", import.meta.url), [JSON.stringify(order)]);
  const limitMs = (order.warmupSeconds + order.seconds + OVERHEAD_SECONDS_MAX) * 1_000;
  const timeout = setTimeout(() => load.kill("SIGKILL"), limitMs);
  return new Promise((resolve) => {
    let answer: Measurement | string = "the generator ended without an answer";
    load.on("message", (message: { measurement: Measurement } | { error: string }) => {
      answer = "error" in message ? message.error : message.measurement;
    });
    load.on("error", (error) => {
      answer = error.message;
    });
    load.on("close", () => {
      clearTimeout(timeout);
      resolve(answer);
    });
  });
}

async function measureAll(targets: readonly Target[], options: Options): Promise<ScenarioResult[]> {
  const results: ScenarioResult[] = [];
  for (const scenario of options.scenarios) {
    const result: ScenarioResult = { scenario, series: targets.map((target) => ({ target: target.name, rounds: [] })) };
    for (let round = 0; round < options.rounds; round++) {
      for (const [index, target] of targets.entries()) {
        const answer = await measure(target, scenario, options);
        result.series[index]!.rounds.push(answer);
        const said = typeof answer === "string" ? answer : inBrief(answer);
        console.error(`${scenario.name} ${round + 1}/${options.rounds} ${target.name}: ${said}`);
      }
    }
    console.log(["", ...scenarioSection(result)].join("\n"));
    results.push(result);
  }
  return results;
}

async function runFacts(targets: readonly Target[], options: Options): Promise<RunFacts> {
  const workerd = JSON.parse(
    await readFile(new URL("../node_modules/workerd/package.json", import.meta.url), "utf8"),
  ) as { version: string };
  const processors = cpus();
  return [
    ["date", new Date().toISOString().slice(0, 16) + "Z"],
    ["brokers", targets.map((target) => `${target.name} ${target.version}`).join(", ")],
    ["runtimes", `Node ${process.versions.node}, workerd ${workerd.version}`],
    ["machine", `${processors.length} × ${processors[0]?.model ?? "unknown"}`],
    ["load average before", loadavg()[0]!.toFixed(2)],
    [
      "client",
      `MQTT ${options.protocol === 5 ? "5.0" : "3.1.1"} over ${options.transport === "ws" ? "WebSocket" : "TCP"}, ` +
        `payload ${options.payloadBytes} bytes` +
        (options.transport === "ws" ? `, packets in a frame: ${options.packetsPerFrame}` : ""),
    ],
    ...(options.leadDeliveriesMax === null ? [] : [["owed at most", `${options.leadDeliveriesMax}`] as const]),
    ...Object.entries(options.settings).map(([name, value]) => [name, value] as const),
    ["rounds", `${options.rounds}, each ${options.warmupSeconds} s warm-up and ${options.seconds} s measured`],
  ];
}

async function main(): Promise<void> {
  const options = parseOptions();
  const targets = await startTargets(options);
  const interrupted = (): void => void stopAll(targets).finally(() => process.exit(130));
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, interrupted);
  try {
    if (targets.length === 0) throw new Error("there is nothing to measure");
    const facts = await runFacts(targets, options);
    console.log(facts.map(([name, value]) => `- ${name}: ${value}`).join("\n"));
    const results = await measureAll(targets, options);
    if (options.save !== null) {
      const directory = new URL("results/", import.meta.url);
      await mkdir(directory, { recursive: true });
      await writeFile(new URL(`${options.save}.md`, directory), report(facts, results));
      console.log(`saved as bench/results/${options.save}.md`);
    }
    const failed = results.some(({ series }) => series.some(({ rounds }) => rounds.some(isFailure)));
    if (failed) process.exitCode = 1;
  } finally {
    await stopAll(targets);
  }
}

/** No answer, or an answer that shows a broker losing or reordering. Lacking a protocol is neither. */
function isFailure(answer: Measurement | string): boolean {
  if (typeof answer === "string") return answer !== "protocol not supported";
  return answer.lost !== 0 || answer.misordered !== 0;
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
