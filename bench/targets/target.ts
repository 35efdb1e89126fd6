/**
 * A broker under test: started by the bench on free ports of 127.0.0.1, in processes of its own, with nothing on disk
 * that outlives the run.
 */

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { URL } from "node:url";
import type { ProtocolLevel } from "../mqtt-frames.ts";

export interface Target {
  name: string;
  /** Of the broker, as the results name it. */
  version: string;
  wsUrl: string;
  tcpPort: number;
  protocols: readonly ProtocolLevel[];
  /** The broker's processes, for the accounting of CPU time. */
  pids(): number[];
  /** Ends the broker and removes what it left. May be called twice. */
  stop(): Promise<void>;
}

/** Where a broker that runs in a process of its own (`*-process.ts`) listens. */
export interface Listening {
  wsUrl: string;
  tcpPort: number;
}

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 15_000;

/** Starts a module that answers with one {@link Listening} message and ends when its parent disconnects. */
export async function startBrokerProcess(module: URL, ...args: string[]): Promise<{ child: ChildProcess } & Listening> {
  const child = fork(module, args, { stdio: ["ignore", "ignore", "pipe", "ipc"] });
  let complaints = "";
  child.stderr!.setEncoding("utf8").on("data", (text: string) => {
    complaints = (complaints + text).slice(-4_000);
  });
  const aborting = new AbortController();
  const ended = once(child, "exit", { signal: aborting.signal }).then(() => {
    throw new Error(`it ended while starting: ${errorMessage(complaints)}`);
  });
  const tooLate = sleep(START_TIMEOUT_MS, undefined, { signal: aborting.signal }).then(() => {
    throw new Error("it did not start in time");
  });
  try {
    const [listening] = (await Promise.race([once(child, "message"), ended, tooLate])) as [Listening];
    child.stderr!.pipe(process.stderr);
    return { child, ...listening };
  } catch (error) {
    await endProcess(child);
    throw error;
  } finally {
    aborting.abort();
    for (const promise of [ended, tooLate]) promise.catch(() => {});
  }
}

/** Out of what Node prints for an uncaught error: the message, without the source line above and the stack below. */
function errorMessage(text: string): string {
  const [, message] = /^(\w*Error\b.*?)(?:\n\s+at |$(?![\s\S]))/ms.exec(text) ?? [];
  return message ?? (text.trim() || "without a word");
}

/** Asks a process that we started to end, and makes it end if it does not. */
export async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exit = once(child, "exit");
  child.kill("SIGTERM");
  const timeout = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
  await exit;
  clearTimeout(timeout);
}

/** Ports that were free a moment ago, for brokers that cannot be told to choose. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports: number[] = [];
  for (const server of servers) {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    ports.push((server.address() as AddressInfo).port);
  }
  for (const server of servers) server.close();
  return ports;
}

/** Waits until a port accepts connections, at most five seconds. */
export async function accepting(port: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const socket = connect({ host: "127.0.0.1", port });
    const connected = await Promise.race([
      once(socket, "connect").then(() => true),
      once(socket, "close").then(() => false),
    ]).catch(() => false);
    socket.destroy();
    if (connected) return;
    await sleep(50);
  }
  throw new Error(`nothing listens on port ${port}`);
}
