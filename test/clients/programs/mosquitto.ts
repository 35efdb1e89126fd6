/** mosquitto_pub and mosquitto_sub, a process for each client; over TCP, which is all that they speak. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { afterEach, expect } from "vitest";
import type { Broker } from "../../../scripts/broker.ts";
import { type Version, versionName } from "../../broker/support/client.ts";
import { Inbox, type Program, type Qos, type Subscriber } from "./program.ts";

/** mosquitto_sub, subscribed. */
export interface MosquittoSubscriber extends Subscriber {
  readonly child: ChildProcess;
  /** Every line that it wrote. */
  readonly lines: readonly string[];
  /** Resolves with the first line that matches, from the `from`th on, whether it has come or not. */
  line(like: RegExp, from?: number): Promise<string>;
}

export interface Mosquitto {
  program(version: Version): Program;
  /** Runs mosquitto_pub or mosquitto_sub to its end; `-V` and the address need not be told. */
  done(program: "mosquitto_pub" | "mosquitto_sub", version: Version, args: string[], input?: string): Promise<string>;
  /** `options` come last, and so replace what is told before them. */
  subscribe(
    version: Version,
    filters: string | readonly string[],
    qos: Qos,
    options?: string[],
  ): Promise<MosquittoSubscriber>;
}

/** mosquitto_sub has ended long before, if it ever does. */
const STUCK_MS = 3_000;

const OPTION = { 3: "mqttv31", 4: "mqttv311", 5: "mqttv5" } as const;

/** Every process is gone after its test. */
export function useMosquitto(use: { readonly broker: Broker }): Mosquitto {
  const running = new Set<ChildProcess>();
  afterEach(async () => {
    const ended = [...running].map((child) => once(child, "close"));
    for (const child of running) child.kill("SIGKILL");
    await Promise.all(ended);
  });

  const run = (program: string, version: Version, args: readonly string[]): ChildProcess => {
    // stdbuf, because what mosquitto_sub -d says would otherwise stay in its buffer; it executes the program in its place.
    const address = ["-V", OPTION[version], "-h", "127.0.0.1", "-p", String(use.broker.tcpPort)];
    const child = spawn("stdbuf", ["-oL", program, ...address, ...args], { stdio: ["pipe", "pipe", "pipe"] });
    running.add(child);
    child.once("close", () => running.delete(child));
    return child;
  };

  const done: Mosquitto["done"] = async (program, version, args, input) => {
    const child = run(program, version, args);
    let output = "";
    child.stdout!.on("data", (text) => (output += text));
    child.stderr!.on("data", (text) => (output += text));
    const closed = once(child, "close");
    child.stdin!.end(input);
    const [code] = (await closed) as [number];
    if (code !== 0) throw new Error(`${program} ended with ${code}: ${output}`);
    return output;
  };

  const subscribe: Mosquitto["subscribe"] = async (version, filters, qos, options = []) => {
    const asked = [filters].flat().flatMap((filter) => ["-t", filter]);
    // -d says when SUBACK is there; both go to standard output line by line, as -F ends each message with a newline.
    const format = ["-d", "-F", "message: %q %r %E/%t %p"];
    const child = run("mosquitto_sub", version, [...asked, "-q", String(qos), ...format, ...options]);
    const inbox = new Inbox();
    const lines: string[] = [];
    const wakers = new Set<() => void>();
    let text = "";
    let closed = false;
    child.stdout!.setEncoding("utf8");
    child.stdout!.on("data", (chunk: string) => {
      text += chunk;
      // A payload is one line, and may be large: look for the end only in what is new.
      if (!chunk.includes("\n")) return;
      const whole = text.split("\n");
      text = whole.pop()!;
      for (const line of whole) {
        lines.push(line);
        const message = messageOf(line);
        if (message) inbox.put(message);
      }
      for (const wake of wakers) wake();
    });
    child.once("close", () => {
      closed = true;
      for (const wake of wakers) wake();
    });
    const line: MosquittoSubscriber["line"] = async (like, from = 0) => {
      for (;;) {
        const found = lines.slice(from).find((one) => like.test(one));
        if (found !== undefined) return found;
        if (closed) throw new Error(`mosquitto_sub ended: ${lines.join("; ")}`);
        const { promise, resolve } = Promise.withResolvers<void>();
        wakers.add(resolve);
        await promise;
        wakers.delete(resolve);
      }
    };
    const granted = await line(/^Subscribed \(/);
    expect(granted.replace(/^.*?\): /, "").split(", ")).toEqual([filters].flat().map(() => String(qos)));
    return {
      child,
      lines,
      line,
      next: () => inbox.next(),
      end: async () => {
        const ended = once(child, "close");
        child.kill("SIGTERM");
        // It takes a lock in its signal handler that it may hold already, and then never ends.
        const stuck = setTimeout(() => child.kill("SIGKILL"), STUCK_MS);
        await ended;
        clearTimeout(stuck);
      },
    };
  };

  const program = (version: Version): Program => ({
    name: `mosquitto ${versionName(version)}`,
    version,
    subscribe: (filters, qos, clientId) => subscribe(version, filters, qos, sessionOptions(version, clientId)),
    resume: (filters, qos, clientId) => subscribe(version, filters, qos, sessionOptions(version, clientId)),
    async publish({ topic, payload, qos, retain = false, expirySeconds }) {
      const expiry = expirySeconds === undefined ? [] : ["message-expiry-interval", String(expirySeconds)];
      const options = [...(retain ? ["-r"] : []), ...(expiry.length > 0 ? ["-D", "publish", ...expiry] : [])];
      // From standard input, as an argument has no room for a large one; but there it takes no empty one.
      options.push(payload === "" ? "-n" : "-s");
      await done("mosquitto_pub", version, ["-t", topic, "-q", String(qos), ...options], payload);
    },
    async vanish({ topic, payload }) {
      const will = ["--will-topic", topic, "--will-payload", payload, "--will-qos", "1"];
      const { child } = await subscribe(version, "nothing/here", 0, will);
      const closed = once(child, "close");
      child.kill("SIGKILL");
      await closed;
    },
  });
  return { program, done, subscribe };
}

function sessionOptions(version: Version, clientId: string | undefined): string[] {
  if (clientId === undefined) return [];
  return ["-i", clientId, "-c", ...(version === 5 ? ["-x", "600"] : [])];
}

function messageOf(line: string) {
  const found = /^message: (\d) (\d) (\d*)\/(\S+) (.*)$/.exec(line);
  if (!found) return undefined;
  const [, qos, retain, expiry, topic, payload] = found as unknown as [string, string, string, string, string, string];
  return {
    topic,
    payload,
    qos: Number(qos),
    retain: retain === "1",
    ...(expiry !== "" && { expirySeconds: Number(expiry) }),
  };
}
