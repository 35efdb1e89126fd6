/** What is measured, one point at a time, each in a process of its own. */

import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { type EverywhereOrder, type EverywherePoint, measureEverywhere } from "./everywhere.ts";
import { type IdleOrder, type IdlePoint, measureIdle, measureWake, type WakeOrder, type WakePoint } from "./idle.ts";
import { type LinksOrder, type LinksPoint, measureLinks } from "./links.ts";
import {
  type BacklogOrder,
  type BacklogPoint,
  type BroadcastOrder,
  type BroadcastPoint,
  measureBacklog,
  measureBroadcast,
} from "./queue.ts";
import { measureRetained, type RetainedOrder, type RetainedPoint } from "./retained.ts";
import { measureSessions, type SessionsOrder, type SessionsPoint } from "./session-objects.ts";

export type Order =
  | IdleOrder
  | WakeOrder
  | LinksOrder
  | RetainedOrder
  | BacklogOrder
  | BroadcastOrder
  | SessionsOrder
  | EverywhereOrder;

interface Points {
  idle: IdlePoint;
  wake: WakePoint;
  links: LinksPoint;
  retained: RetainedPoint;
  backlog: BacklogPoint;
  broadcast: BroadcastPoint;
  sessions: SessionsPoint;
  everywhere: EverywherePoint;
}
export type PointOf<O extends Order> = Points[O["kind"]];

/** Measures a point in this process. */
export function measure(order: Order): Points[Order["kind"]] {
  switch (order.kind) {
    case "idle":
      return measureIdle(order);
    case "wake":
      return measureWake(order);
    case "links":
      return measureLinks(order);
    case "retained":
      return measureRetained(order);
    case "backlog":
      return measureBacklog(order);
    case "broadcast":
      return measureBroadcast(order);
    case "sessions":
      return measureSessions();
    case "everywhere":
      return measureEverywhere(order);
  }
}

/**
 * Measures a point in a process of its own, so that points do not meet in one heap.
 *
 * @param heapMb bounds its heap in MiB; beyond it the process dies, and so does the measurement
 */
export async function measureApart<O extends Order>(order: O, heapMb = 12_288): Promise<PointOf<O>> {
  const script = join(import.meta.dirname, "measure.ts");
  const options = ["--expose-gc", `--max-heap-size=${heapMb}`, script, JSON.stringify(order)];
  // What a process that dies leaves behind is here too.
  const directory = await mkdtemp(join(tmpdir(), "dormouse-scale-"));
  try {
    const env = { ...process.env, TMPDIR: directory };
    const { stdout } = await promisify(execFile)(process.execPath, options, { env });
    return JSON.parse(stdout) as PointOf<O>;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
