/** What is held in memory. Needs `--expose-gc`. */

/** Bytes of the JavaScript heap and of the array buffers outside of it, after everything that can go has gone. */
export function heldBytes(): number {
  // A second one for what only the first made unreachable.
  for (let times = 0; times < 2; times++) globalThis.gc!();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
