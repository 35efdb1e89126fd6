/**
 * Payloads: a key that belongs to one message, and sometimes padding, so that messages differ in size. The key says how
 * much padding there is; the history has keys only.
 */

/** @param padding bytes */
export function key(sender: string, number: number, padding: number): string {
  return padding === 0 ? `${sender}#${number}` : `${sender}#${number}+${padding}`;
}

/** The payload as it is sent. */
export function padded(wanted: string): Buffer {
  const padding = paddingOf(wanted);
  return padding === 0 ? Buffer.from(wanted) : Buffer.from(`${wanted} ${"x".repeat(padding)}`);
}

/** The key of what came; of something that nobody sent, its start. */
export function keyOf(payload: Buffer): string {
  const text = payload.toString("latin1");
  const found = text.split(" ", 1)[0]!;
  if (padded(found).length === payload.length) return found;
  return `garbled ${text.slice(0, 40)}`;
}

function paddingOf(text: string): number {
  return Number(/\+(\d+)$/.exec(text)?.[1] ?? 0);
}
