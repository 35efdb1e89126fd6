/**
 * A broker on this machine: the Worker of wrangler.toml, bundled by wrangler, run by Miniflare.
 *
 * `npm start`, the tests over real sockets and the benchmarks all start it here, so that they run the same thing.
 *
 * - Nothing stands between a client and the Worker. `wrangler dev` puts a proxy Worker in the data path, and
 *   Miniflare's own entry is a Worker too, which compresses besides: through it one socket echoed 7 thousand messages
 *   a second, directly 50-70. The HTTP port here is a "direct socket", the TCP port a connect trigger.
 * - The bundle is wrangler's (`deploy --dry-run`), because two bundlers would be two Workers. It is built once per
 *   process.
 * - Everything listens on 127.0.0.1 and nothing is fetched from the network.
 * - workerd never outlives its parent. Asked politely (SIGTERM) it drains, that is, it waits for every open WebSocket;
 *   so it is always killed. SQLite makes that safe: what was acknowledged is on disk.
 */
import { execFile, spawn, type ChildProcess } from "node:child_process";
import diagnostics from "node:diagnostics_channel";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, extname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";
import { WHO_MAY_CONNECT } from "../src/access/access-settings.ts";
import { SETTINGS } from "../src/config.ts";
import { readWorker } from "./worker.ts";

const ROOT = resolve(import.meta.dirname, "..");
const HOST = "127.0.0.1";

interface Module {
  type: "ESModule" | "Text" | "Data" | "CompiledWasm";
  /** Beside the others, as they import it. */
  path: string;
  contents: string | Uint8Array<ArrayBuffer>;
}

export interface BrokerOptions {
  /** HTTP and MQTT over WebSocket. 0 chooses a free port. */
  port: number;
  /** MQTT over TCP. 0 chooses a free port. */
  tcpPort: number;
  /** Where the objects' databases live. Two running brokers must not share it. */
  stateDir: string;
  /** Replaces settings of wrangler.toml's [vars]. */
  vars?: Record<string, string>;
  /** Where settings are looked up that `vars` does not name: those of `src/config.ts`, and what else [vars] has. */
  env?: Record<string, string | undefined>;
  /** Rate limiters, by the names of their bindings. Without them nothing is limited but by those of wrangler.toml. */
  limiters?: Record<string, { limit: number; period: 10 | 60 }>;
  /** Receives what the Worker and workerd print. Without it, that goes to this process's own output. */
  onLog?: (line: { level: string; message: string }) => void;
  /** Worker modules that are bound to this one, by the name of the binding. */
  services?: Record<string, string>;
  /** A Worker other than this one, for tests of this file. */
  configPath?: string;
}

export interface Broker {
  /** `http://127.0.0.1:<port>` */
  readonly url: string;
  /** `ws://127.0.0.1:<port>/mqtt` */
  readonly wsUrl: string;
  /** `mqtt://127.0.0.1:<tcpPort>` */
  readonly tcpUrl: string;
  readonly port: number;
  readonly tcpPort: number;
  readonly stateDir: string;
  /** Anybody may connect, because no setting says who may. */
  readonly anybody: boolean;
  /** workerd's process id, as started. */
  readonly pid: number;
  /** For what only Miniflare can do to a running Worker: evict an object, read its database. */
  readonly miniflare: Miniflare;
  /** Ends the broker and every connection. Repeated calls are harmless. */
  stop(): Promise<void>;
  /**
   * Kills workerd with no warning, and resolves when the process is gone. A broker started on the same state is the
   * recovery.
   */
  kill9(): Promise<void>;
}

/** The broker cannot start for a reason that whoever started it can mend; the message is one plain sentence. */
export class BrokerStartError extends Error {}

export async function startBroker(options: BrokerOptions): Promise<Broker> {
  const stateDir = resolve(options.stateDir);
  await mkdir(stateDir, { recursive: true });
  await Promise.all([claimable(options.port, "PORT"), claimable(options.tcpPort, "TCP_PORT")]);
  const configPath = resolve(options.configPath ?? join(ROOT, "wrangler.toml"));
  const modules = await bundle(configPath);
  return oneAtATime(() => run(options, configPath, modules, stateDir));
}

async function run(options: BrokerOptions, configPath: string, modules: Module[], stateDir: string): Promise<Broker> {
  const { name, bindings, options: workerOptions } = readWorker(configPath);
  const settings = { ...bindings };
  for (const setting of new Set([...SETTINGS, ...Object.keys(bindings)])) {
    const value = options.env?.[setting];
    if (value !== undefined) settings[setting] = value;
  }
  Object.assign(settings, options.vars);
  // Nobody but this machine can reach it.
  const anybody = WHO_MAY_CONNECT.every(
    (setting) => settings[setting] === undefined && options.services?.[setting] === undefined,
  );
  if (anybody) settings["ALLOW_ANONYMOUS"] = "true";
  const services = Object.entries(options.services ?? {}).map(([binding, contents]) => ({
    name: `${name}-${binding.toLowerCase()}`,
    modules: [{ type: "ESModule" as const, path: "index.js", contents }],
    compatibilityDate: workerOptions["compatibilityDate"] as string,
  }));
  const bound = Object.keys(options.services ?? {}).map((binding, at) => [binding, services[at]!.name]);
  const worker = {
    ...workerOptions,
    name,
    modules,
    bindings: settings,
    ...(options.limiters && { ratelimits: ratelimits(options.limiters) }),
    connectHandlers: [{ protocol: "tcp" as const, port: options.tcpPort, address: HOST }],
    unsafeDirectSockets: [{ host: HOST, port: options.port }],
    serviceBindings: { ...(workerOptions["serviceBindings"] as object), ...Object.fromEntries(bound) },
  };
  const miniflareOptions = convertV4MiniflareOptions({
    workers: [worker, ...services],
    host: HOST,
    port: 0,
    // `Request.cf` would otherwise be fetched from the network.
    cf: false,
    telemetry: { enabled: false },
    log: new Log(LogLevel.ERROR),
    resourcePersistencePath: stateDir,
    ...(options.onLog && { handleStructuredLogs: options.onLog }),
  });

  let workerd: ChildProcess | undefined;
  const noticeWorkerd = (message: unknown): void => {
    workerd = (message as { process: ChildProcess }).process;
  };
  diagnostics.subscribe("child_process", noticeWorkerd);
  const miniflare = new Miniflare(miniflareOptions);
  let port: number;
  try {
    await miniflare.ready;
    port = Number((await miniflare.unsafeGetDirectURL(name)).port);
  } catch (error) {
    await miniflare.dispose();
    throw error;
  } finally {
    diagnostics.unsubscribe("child_process", noticeWorkerd);
  }
  const child = workerd;
  if (child?.pid === undefined) throw new Error("Miniflare is ready but started no process");
  const guard = killWhenParentDies(child.pid);
  const tcpPort = options.tcpPort === 0 ? await connectPort(miniflare) : options.tcpPort;

  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> =>
    (stopped ??= miniflare.dispose().finally(() => {
      guard?.kill();
    }));
  return {
    url: `http://${HOST}:${port}`,
    wsUrl: `ws://${HOST}:${port}/mqtt`,
    tcpUrl: `mqtt://${HOST}:${tcpPort}`,
    port,
    tcpPort,
    stateDir,
    anybody,
    pid: child.pid,
    miniflare,
    stop,
    kill9: async () => {
      const gone = child.exitCode === null && child.signalCode === null ? once(child, "exit") : undefined;
      child.kill("SIGKILL");
      // At once, or Miniflare takes it for a crash and starts another workerd.
      await Promise.all([gone, stop()]);
    },
  };
}

function ratelimits(limiters: NonNullable<BrokerOptions["limiters"]>) {
  const entries = Object.entries(limiters).map(([name, simple], at) => [name, { namespace_id: `${at + 1}`, simple }]);
  return Object.fromEntries(entries) as Record<string, { namespace_id: string; simple: { limit: number; period: 10 } }>;
}

/** Starting is serial within a process: it is how a start knows which child process is its own. */
let lastStart: Promise<unknown> = Promise.resolve();
function oneAtATime<T>(start: () => Promise<T>): Promise<T> {
  const result = lastStart.then(start, start);
  lastStart = result;
  return result;
}

/** Bundles by the path of their configuration. */
const bundles = new Map<string, Promise<Module[]>>();
function bundle(configPath: string): Promise<Module[]> {
  let built = bundles.get(configPath);
  if (built === undefined) {
    built = buildBundle(configPath);
    bundles.set(configPath, built);
  }
  return built;
}

async function buildBundle(configPath: string): Promise<Module[]> {
  const dir = await mkdtemp(join(tmpdir(), "dormouse-bundle-"));
  const wrangler = join(dirname(createRequire(import.meta.url).resolve("wrangler/package.json")), "bin/wrangler.js");
  const quiet = { WRANGLER_SEND_METRICS: "false", WRANGLER_HIDE_BANNER: "true", WRANGLER_WRITE_LOGS: "false" };
  try {
    await promisify(execFile)(
      process.execPath,
      [wrangler, "deploy", "--dry-run", "--outdir", dir, "--config", configPath],
      { cwd: dirname(configPath), env: { ...process.env, ...quiet } },
    );
    return await bundledModules(dir);
  } catch (error) {
    const { stdout = "", stderr = "" } = error as { stdout?: string; stderr?: string };
    throw new BrokerStartError(`The Worker could not be bundled:\n${`${stderr}${stdout}`.trim() || String(error)}`);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** wrangler's output: `index.js`, and beside it each file that the source imports as text, bytes or WebAssembly. */
async function bundledModules(dir: string): Promise<Module[]> {
  const types: Record<string, Module["type"]> = {
    ".js": "ESModule",
    ".html": "Text",
    ".txt": "Text",
    ".sql": "Text",
    ".bin": "Data",
    ".wasm": "CompiledWasm",
  };
  const modules: Module[] = [];
  for (const path of await readdir(dir)) {
    const type = types[extname(path)];
    if (type === undefined) continue;
    const bytes = new Uint8Array(await readFile(join(dir, path)));
    modules.push({
      type,
      path,
      contents: type === "ESModule" || type === "Text" ? new TextDecoder().decode(bytes) : bytes,
    });
  }
  // The first one is the Worker.
  return modules.sort((a, b) => Number(b.path === "index.js") - Number(a.path === "index.js"));
}

/** Asks before workerd does, whose own answer would not say which setting to change. */
async function claimable(port: number, variable: string): Promise<void> {
  if (port === 0) return;
  const server = createServer();
  server.listen({ host: HOST, port, exclusive: true });
  try {
    await once(server, "listening");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const reason = code === "EADDRINUSE" ? "is already in use" : `cannot be used (${code ?? message})`;
    throw new BrokerStartError(`Port ${port} of ${HOST} ${reason}; set ${variable} to choose another one.`);
  }
  server.close();
  await once(server, "close");
}

/** The port behind a TCP listener that was asked for as 0. Miniflare only tells by connecting to it. */
async function connectPort(miniflare: Miniflare): Promise<number> {
  const socket = await miniflare.dispatchConnect();
  const { remotePort } = socket;
  socket.destroy();
  if (remotePort === undefined) throw new Error("the TCP listener has no port");
  return remotePort;
}

/**
 * If this process is killed with no chance to clean up, workerd would go on listening. A shell in a process group of
 * its own waits on a pipe that closes however this process ends, and then kills workerd.
 */
function killWhenParentDies(pid: number): ChildProcess | undefined {
  if (process.platform === "win32") return undefined;
  const guard = spawn("/bin/sh", ["-c", `read -r _; kill -9 ${pid} 2>/dev/null`], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  guard.on("error", () => {});
  guard.stdin?.on("error", () => {});
  guard.unref();
  return guard;
}
