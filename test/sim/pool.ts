/** Plays many seeds in several threads. */
import { Worker } from "node:worker_threads";
import type { Batch, Told } from "./thread.ts";

export interface Seeds {
  readonly first: number;
  readonly count: number;
  readonly threads: number;
  /** Goes on after a finding. */
  readonly all: boolean;
}

/** Resolves when all are played, or one has found something. */
export async function play({ first, count, threads, all }: Seeds, hear: (told: Told) => void): Promise<void> {
  const workers: Worker[] = [];
  const run = (thread: number): Promise<void> => {
    const batch: Batch = { first: first + thread, step: threads, end: first + count, all };
    // Not what a test runner starts its own processes with.
    const worker = new Worker(new URL("thread.ts", import.meta.url), { workerData: batch, execArgv: [], env: {} });
    workers.push(worker);
    return new Promise((resolve, reject) => {
      worker.on("message", (told: Told) => {
        hear(told);
        if (told.finding && !all) for (const other of workers) void other.terminate();
      });
      worker.once("error", reject);
      worker.once("exit", () => resolve());
    });
  };
  await Promise.all(Array.from({ length: Math.min(threads, count) }, (_, thread) => run(thread)));
}
