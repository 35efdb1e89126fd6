/**
 * How long does something take? Nothing that is measured waits, so it is CPU time of this thread, and what else runs on
 * the machine shows less; what collects garbage beside the thread is not in it. The clock of CPU time may tick in
 * milliseconds, so what is over sooner is measured by time itself.
 */

/** From so many milliseconds on CPU time is exact enough. */
const CPU_TIME_MS = 50;

/** Milliseconds of one call. */
export function milliseconds(body: () => void): number {
  const cpu = process.threadCpuUsage();
  const from = performance.now();
  body();
  const took = performance.now() - from;
  const { user, system } = process.threadCpuUsage(cpu);
  return took < CPU_TIME_MS ? took : (user + system) / 1000;
}

/** Microseconds of one call on average: of the quickest batch, which was disturbed the least. */
export function microsecondsPerCall(calls: number, body: (call: number) => void): number {
  const batches: number[] = [];
  let call = 0;
  for (let batch = 0; batch < BATCHES; batch++) {
    const took = milliseconds(() => {
      for (let left = calls; left > 0; left--) body(call++);
    });
    batches.push((took * 1000) / calls);
  }
  return Math.min(...batches);
}

const BATCHES = 6;

export function median(of: readonly number[]): number {
  return of.toSorted((a, b) => a - b)[of.length >> 1]!;
}
