/**
 * `npm start`: the broker on this machine, until Ctrl-C.
 *
 *   PORT       HTTP and MQTT over WebSocket   8787               0 chooses a free port
 *   TCP_PORT   MQTT over TCP                  1883               0 chooses a free port
 *   STATE_DIR  sessions, retained messages    .dormouse/state    kept across restarts
 *
 * HOSTS is 127.0.0.1, localhost and [::1] unless the environment says otherwise.
 * Every setting (docs/configuration.md) can be set in the environment too: `SHARDS=1 npm start`.
 */
import { parseArgs } from "node:util";
import { BrokerStartError, startBroker, type Broker } from "./broker.ts";

const ANYBODY = `
Anybody on this machine may connect and do everything, because no setting says who may.
A deployment without one lets nobody in: see docs/security.md.
`;

// Registered before Miniflare registers its own, which end the process with the signal's exit code.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, stop);
stopWithNpm();

try {
  const broker = await startBroker({
    port: port("PORT", 8787),
    tcpPort: port("TCP_PORT", 1883),
    stateDir: process.env["STATE_DIR"] || ".dormouse/state",
    env: { HOSTS: "127.0.0.1,localhost,[::1]", ...process.env },
    ...entry(),
  });
  greet(broker);
} catch (error) {
  console.error(error instanceof BrokerStartError ? error.message : error);
  process.exit(1);
}

/** Leaving is stopping: on the way out Miniflare kills workerd, which would otherwise wait for its clients. */
function stop(): never {
  console.log("\nStopped.");
  process.exit(0);
}

/** npm killed outright passes nothing on; the broker would keep its ports for ever. */
function stopWithNpm(): void {
  if (process.env["npm_lifecycle_event"] !== "start") return;
  const npm = process.ppid;
  setInterval(() => {
    if (process.ppid !== npm) stop();
  }, 500).unref();
}

function greet({ url, wsUrl, tcpUrl, tcpPort, stateDir, anybody }: Broker): void {
  const server = `-h 127.0.0.1 -p ${tcpPort}`;
  console.log(`Dormouse is listening.

  MQTT over WebSocket  ${wsUrl}
  MQTT over TCP        ${tcpUrl}
  HTTP                 ${url}/
  State                ${stateDir}
${anybody ? ANYBODY : ""}
Try it:
  npx mqtt sub ${server} -t 'hello/#' -v
  npx mqtt pub ${server} -t hello/world -m hi

Ctrl-C stops it.`);
}

function port(variable: string, otherwise: number): number {
  const text = process.env[variable];
  if (text === undefined || text === "") return otherwise;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > 65_535) {
    throw new BrokerStartError(`${variable} must be a port number from 0 to 65535, not "${text}".`);
  }
  return value;
}

/** `--config <wrangler.toml>` runs another Worker; the tests of this script use it. */
function entry(): { configPath?: string } {
  const { config } = parseArgs({ options: { config: { type: "string" } } }).values;
  return config === undefined ? {} : { configPath: config };
}
