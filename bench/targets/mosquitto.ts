/**
 * Mosquitto as installed on this machine, configured so that it neither drops, stalls nor writes to disk. That is
 * faster than its defaults (20 messages in flight, 1,000 queued, Nagle's algorithm on).
 */

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Target, accepting, endProcess, freePorts } from "./target.ts";

// Debian puts it where an ordinary user's PATH does not look.
const COMMANDS = ["mosquitto", "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"];

/** Null where Mosquitto is not installed. */
export async function startMosquitto(): Promise<Target | null> {
  const installed = await findMosquitto();
  if (installed === null) return null;
  const [tcpPort, wsPort] = (await freePorts(2)) as [number, number];
  const directory = await mkdtemp(join(tmpdir(), "dormouse-bench-mosquitto-"));
  const config = join(directory, "mosquitto.conf");
  await writeFile(config, configuration(tcpPort, wsPort));

  const child = spawn(installed.command, ["-c", config], { stdio: "ignore" });
  const guard = endWhenParentDies(child.pid!, directory);
  const stop = async (): Promise<void> => {
    await endProcess(child);
    guard.kill();
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await accepting(tcpPort);
    await accepting(wsPort);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    name: "mosquitto",
    version: installed.version,
    wsUrl: `ws://127.0.0.1:${wsPort}/mqtt`,
    tcpPort,
    protocols: [4, 5],
    pids: () => [child.pid!],
    stop,
  };
}

/** Mosquitto does not notice when this process is killed. A shell that waits on a pipe from it does. */
function endWhenParentDies(pid: number, directory: string): ChildProcess {
  return spawn("/bin/sh", ["-c", 'read -r _; kill "$0"; rm -rf "$1"', String(pid), directory], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true, // Out of reach of what ends this process's group.
  });
}

function configuration(tcpPort: number, wsPort: number): string {
  return [
    "persistence false",
    "sys_interval 0",
    "log_dest none",
    "allow_anonymous true",
    "set_tcp_nodelay true",
    "max_inflight_messages 0",
    "max_queued_messages 0",
    // 2.0.11 opens its WebSocket listener only beside an MQTT listener with a bind address, and on one address family.
    `listener ${tcpPort} 127.0.0.1`,
    "socket_domain ipv4",
    `listener ${wsPort} 127.0.0.1`,
    "protocol websockets",
    "socket_domain ipv4",
    "",
  ].join("\n");
}

async function findMosquitto(): Promise<{ command: string; version: string } | null> {
  for (const command of COMMANDS) {
    const usage = await new Promise<string>((resolve) => {
      execFile(command, ["-h"], (_error, stdout) => resolve(stdout ?? "")); // -h exits with 3.
    });
    const version = /version (\S+)/.exec(usage)?.[1];
    if (version !== undefined) return { command, version };
  }
  return null;
}
