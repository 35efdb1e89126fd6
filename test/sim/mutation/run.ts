/** Runs a function over production code that is deliberately broken, in a thread of its own. */
import { resolve } from "node:path";
import { Worker } from "node:worker_threads";
import { type Mutation, mutatedFiles } from "./mutation.ts";
import type { Report, Task, Thrown } from "./thread.ts";

export type Outcome =
  | { readonly ok: true; readonly value: unknown }
  /** What the function threw; {@link NO_REST} if it was stopped after `limitMs`. */
  | { readonly ok: false; readonly error: Thrown };

export const NO_REST = "NoRest";

/**
 * Calls `exportName` of the module at the path `module` with `args`, where everything that it imports is as the
 * mutations make it. Arguments and value are copied from thread to thread. No mutations: the same, with nothing wrong.
 *
 * @throws if a mutation does not fit its file, if what it makes of it cannot be loaded, and if the module does not use
 * that file: then the outcome would say nothing
 */
export async function runMutated(
  mutations: readonly Mutation[],
  module: string,
  exportName: string,
  args: readonly unknown[] = [],
  limitMs = 30_000,
): Promise<Outcome> {
  const task: Task = { files: mutatedFiles(mutations), module: resolve(module), exportName, args };
  // Not what a test runner starts its own processes with.
  const thread = new Worker(new URL("thread.ts", import.meta.url), { workerData: task, execArgv: [], env: {} });
  let timer: NodeJS.Timeout | undefined;
  try {
    const report = await new Promise<Report>((resolve, reject) => {
      thread.once("message", resolve);
      // Of a promise that nobody waits for; or the thread itself.
      thread.once("error", (error: Error) => resolve({ type: "thrown", error: copy(error) }));
      thread.once("exit", (code) => reject(new Error(`the thread ended with ${code} and no report`)));
      timer = setTimeout(() => {
        const message = `does not come to rest within ${limitMs} ms`;
        resolve({ type: "thrown", error: { name: NO_REST, message, stack: "" } });
      }, limitMs);
    });
    if (report.type === "unfit")
      throw new Error(`${mutations.map(({ name }) => `"${name}"`).join(", ")}: ${report.why}`);
    return report.type === "value" ? { ok: true, value: report.value } : { ok: false, error: report.error };
  } finally {
    clearTimeout(timer);
    await thread.terminate();
  }
}

function copy({ name, message, stack = "" }: Error): Thrown {
  return { name, message, stack };
}
