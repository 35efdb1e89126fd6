/**
 * How long does something take? Nothing that is measured waits, so it is CPU time of this thread, and what else runs on
 * the machine shows less. What collects garbage beside the thread is not in it.
 */

/** Milliseconds of one call. */
export function milliseconds(body: () => void): number {
  const from = process.threadCpuUsage();
  body();
  const { user, system } = process.threadCpuUsage(from);
  return (user + system) / 1000;
}

/** Microseconds of one call on average: the median of {@link BATCHES} batches, after one that is not counted. */
export function microsecondsPerCall(calls: number, body: (call: number) => void): number {
  const batches: number[] = [];
  let call = 0;
  for (let batch = 0; batch <= BATCHES; batch++) {
    const took = milliseconds(() => {
      for (let left = calls; left > 0; left--) body(call++);
    });
    if (batch > 0) batches.push((took * 1000) / calls);
  }
  return median(batches);
}

const BATCHES = 5;

export function median(of: readonly number[]): number {
  return of.toSorted((a, b) => a - b)[of.length >> 1]!;
}
