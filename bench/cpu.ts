/** CPU time of other processes, from Linux's /proc. */

import { readFileSync, readdirSync } from "node:fs";

// USER_HZ: what /proc/<pid>/stat counts in is fixed at 100 a second for programs, whatever the kernel's own tick is.
const MICROSECONDS_PER_TICK = 10_000;

/** User and system time that these processes have used in all their threads. NaN where there is no /proc. */
export function cpuMicroseconds(pids: readonly number[]): number {
  let total = 0;
  for (const pid of pids) {
    const fields = statFields(pid);
    const ticks = fields === null ? NaN : Number(fields[11]) + Number(fields[12]);
    // `stat` is complete but rounds down to 10 ms, which hides a broker that has little to do; the scheduler's count
    // is exact but forgets threads that have ended. Neither ever counts too much.
    total += Math.max(ticks * MICROSECONDS_PER_TICK, liveThreadsMicroseconds(pid));
  }
  return total;
}

/** From the scheduler's statistics, 0 where the kernel keeps none. */
function liveThreadsMicroseconds(pid: number): number {
  try {
    let nanoseconds = 0;
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "latin1").split(" ")[0]);
    }
    return nanoseconds / 1_000;
  } catch {
    return 0; // Also when a thread ends while we look.
  }
}

/** A process and its descendants: a broker may be a host process with the actual runtime as its child. */
export function processTree(root: number): number[] {
  const childrenOf = new Map<number, number[]>();
  for (const name of listProcesses()) {
    const parent = Number(statFields(Number(name))?.[1]);
    childrenOf.set(parent, [...(childrenOf.get(parent) ?? []), Number(name)]);
  }
  const tree = [root];
  for (const pid of tree) tree.push(...(childrenOf.get(pid) ?? []));
  return tree;
}

function listProcesses(): string[] {
  try {
    return readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
}

/** The fields of /proc/<pid>/stat from the state on; the name before it may itself hold spaces and brackets. */
function statFields(pid: number): string[] | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch {
    return null;
  }
}
