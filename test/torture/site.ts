/**
 * A {@link Site} that is real: workerd with the Worker of this folder, always on the same state and the
 * same ports. While it is down, whoever asks for its address waits.
 */
import { execFile } from "node:child_process";
import { rmSync } from "node:fs";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as after } from "node:timers/promises";
import { promisify } from "node:util";
import { startBroker, type Broker, BrokerStartError } from "../../scripts/broker.ts";
import type { DiskFault } from "../trial/disk-fault.ts";
import type { Profile } from "../trial/device.ts";
import type { Clock, Dialling, Network, ObjectName, Site, Timer } from "../trial/site.ts";
import { type Address, SocketLine } from "./line.ts";

const LOG_LINES = 200;
/** Longer than the 10 s after which a call is made again that failed. */
const PATIENCE_MS = 30_000;

export class RealSite implements Site {
  readonly shards = 4;
  readonly pollMs = 1000;
  readonly patienceMs: number;
  readonly network: Network = { dial: (profile, dialling) => void this.#dial(profile, dialling) };
  readonly clock: Clock = {
    get now() {
      return performance.now();
    },
    after: (ms, act) => this.#after(ms, act),
  };
  readonly #dir: string;
  readonly #vars: Record<string, string>;
  /** What the broker printed lately. */
  readonly log: string[] = [];
  /** Turns that threw, as the broker's own log has it. */
  failedTurns = 0;
  #running = Promise.withResolvers<Address>();
  #stopOther: (() => Promise<void>) | undefined;
  #broker: Broker | undefined;
  #port = 0;
  #tcpPort = 0;
  #ended = false;
  readonly #timers = new Set<NodeJS.Timeout>();

  /** For a process that ends in the middle. */
  readonly #removeDir = (): void => rmSync(this.#dir, { recursive: true, force: true, maxRetries: 3 });

  private constructor(dir: string, vars: Record<string, string>, patienceMs = PATIENCE_MS) {
    this.patienceMs = patienceMs;
    this.#dir = dir;
    this.#vars = vars;
  }

  static async open(vars: Record<string, string> = {}, patienceMs?: number): Promise<RealSite> {
    const site = new RealSite(await mkdtemp(join(tmpdir(), "dormouse-torture-")), vars, patienceMs);
    process.once("exit", site.#removeDir);
    try {
      await site.#start();
    } catch (error) {
      await site.close();
      throw error;
    }
    return site;
  }

  /** Another broker, which runs already and which no fault reaches but those of its clients' sockets. */
  static around({ wsUrl, tcpPort, stop }: Address & { stop(): Promise<void> }): RealSite {
    const site = new RealSite("", {});
    site.#running.resolve({ wsUrl, tcpPort });
    site.#stopOther = stop;
    return site;
  }

  /** Where the broker is reached, once it is up. */
  get address(): Promise<Address> {
    return this.#running.promise;
  }

  async sleep(ms: number): Promise<void> {
    await after(ms);
  }

  /** Kills workerd with no warning and starts it again after a while. */
  async kill(downMs: number): Promise<void> {
    const broker = this.#broker;
    if (!broker || this.#ended) return;
    this.#broker = undefined;
    this.#running = Promise.withResolvers();
    await broker.kill9();
    await after(downMs);
    await this.#start();
  }

  /** The object loses its memory and its links. */
  async abort(object: ObjectName): Promise<void> {
    await this.#injure("abort", { ...object });
  }

  /** Some of the object's links break; it stays. */
  async cut(object: ObjectName, share: number): Promise<void> {
    await this.#injure("cut", { ...object, share });
  }

  async breakDisk(object: ObjectName, fault: DiskFault): Promise<void> {
    await this.#injure("disk", { ...object, fault });
  }

  async mendDisk(object: ObjectName): Promise<void> {
    await this.#injure("mend", { ...object });
  }

  async mend(): Promise<void> {
    await this.#injure("mend", {});
    await this.limitFiles(undefined);
  }

  /** The Worker that holds a client's connection dies, or all of them. The client's socket is the client's to cut. */
  async killWorker(client?: string): Promise<void> {
    await this.#injure("worker", client === undefined ? {} : { client });
  }

  /** The object leaves memory and keeps its links, as after ten idle seconds, if it has a moment with nothing to do. */
  async evict(object: ObjectName): Promise<void> {
    await this.#injure("evict", { ...object }, 1000);
  }

  /** No file of the broker may grow beyond so many bytes; undefined lifts it. Nothing happens where it cannot be done. */
  async limitFiles(bytes: number | undefined): Promise<void> {
    const pid = this.#broker?.pid;
    if (pid === undefined || process.platform !== "linux") return;
    await promisify(execFile)("prlimit", ["--pid", String(pid), `--fsize=${bytes ?? "unlimited"}:`]).catch(() => {});
  }

  async close(): Promise<void> {
    this.#ended = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#running.promise.catch(() => {});
    await this.#broker?.stop();
    this.#broker = undefined;
    await this.#stopOther?.();
    if (this.#dir === "") return;
    process.off("exit", this.#removeDir);
    await rm(this.#dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }

  /** While the broker is down, whoever dials waits. */
  async #dial({ transport, version }: Profile, dialling: Dialling): Promise<void> {
    let line: SocketLine;
    try {
      line = await SocketLine.open(await this.#running.promise, transport, version, dialling);
    } catch {
      dialling.failed();
      return;
    }
    dialling.opened(line);
  }

  /** When the trial is over nothing more is done. */
  #after(ms: number, act: () => void): Timer {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, ms);
    this.#timers.add(timer);
    return { cancel: () => clearTimeout(timer) };
  }

  async #start(): Promise<void> {
    const broker = await this.#startOn(5);
    if (this.#ended) return broker.stop();
    this.#broker = broker;
    this.#port = broker.port;
    this.#tcpPort = broker.tcpPort;
    this.#running.resolve(broker);
  }

  async #startOn(tries: number): Promise<Broker> {
    const other = process.env["MINIFLARE_WORKERD_PATH"];
    process.env["MINIFLARE_WORKERD_PATH"] = await workerdThatMeetsFullDisks(this.#dir);
    try {
      return await startBroker({
        port: this.#port,
        tcpPort: this.#tcpPort,
        stateDir: join(this.#dir, "state"),
        configPath: join(import.meta.dirname, "wrangler.toml"),
        vars: this.#vars,
        onLog: ({ level, message }) => this.#onLog(`${level} ${message}`),
      });
    } catch (error) {
      // Somebody else's socket has been given the port meanwhile.
      if (tries <= 1 || (error instanceof BrokerStartError && !error.message.includes("Port"))) throw error;
      await after(200);
      return this.#startOn(tries - 1);
    } finally {
      if (other === undefined) delete process.env["MINIFLARE_WORKERD_PATH"];
      else process.env["MINIFLARE_WORKERD_PATH"] = other;
    }
  }

  #onLog(message: string): void {
    if (message.includes("failed and restarts")) this.failedTurns += 1;
    const line = message.split("\n", 1)[0]!.slice(0, 300);
    // One line for each attempt and each link, or each file.
    if (/did not open|^error e = workerd.util.sqlite|^stack:/.test(line)) return;
    this.log.push(line);
    if (this.log.length > LOG_LINES) this.log.shift();
  }

  /** Through the Worker's back door. An object that aborts cannot answer, and a broker that is down neither. */
  async #injure(fault: string, query: Record<string, string | number>, patienceMs = 5000): Promise<void> {
    const { url } = this.#broker ?? {};
    if (url === undefined) return;
    const search = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) search.set(name, String(value));
    try {
      await fetch(`${url}/torture/${fault}?${search.toString()}`, {
        method: "POST",
        signal: AbortSignal.timeout(patienceMs),
      });
    } catch {
      // It was killed meanwhile.
    }
  }
}

/**
 * A file that grows beyond the limit (`limitFiles`) ends its process by SIGXFSZ, and SQLite never meets the error. So
 * workerd is started with the signal ignored, which a process inherits.
 */
async function workerdThatMeetsFullDisks(dir: string): Promise<string> {
  const require = createRequire(createRequire(import.meta.url).resolve("miniflare"));
  const { default: workerd } = require("workerd") as { default: string };
  const path = join(dir, "workerd.sh");
  await writeFile(path, `#!/bin/sh\ntrap '' XFSZ\nexec '${workerd}' "$@"\n`);
  await chmod(path, 0o755);
  return path;
}
