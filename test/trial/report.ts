/** What a round was, in numbers, and what the history has to say about a violation. */
import type { HistoryEvent } from "./history.ts";
import type { Violation } from "./judge/verdict.ts";
import { sharedFilter } from "./matches.ts";
import type { Outcome } from "./trial.ts";

/** Lines of an excerpt: enough for the life of one message. */
const EXCERPT_LINES = 60;

export function summary({ events, violations, stuck, offences, settledMs, failedTurns }: Outcome): string {
  const counts = new Counts();
  for (const event of events) count(counts, event);
  return [
    `published  ${counts.line("published")}`,
    `acked      ${counts.line("acked")}`,
    `delivered  ${counts.line("delivered")}`,
    `connected  ${counts.line("connected")}`,
    `offences   ${offences}, told as they should be`,
    `faults     ${counts.line("fault")}; turns of objects that failed: ${failedTurns}`,
    `settled    ${(settledMs / 1000).toFixed(1)} s after the last fault`,
    ...stuck.slice(0, 20).map((what) => `stuck      ${what}`),
    `violations ${violations.length}`,
  ].join("\n");
}

function count(counts: Counts, event: HistoryEvent): void {
  switch (event.type) {
    case "publish":
      counts.add("published", event.dup ? "again" : `QoS ${event.qos}`);
      return;
    case "acknowledged":
      counts.add("acked", event.reason < 0x80 ? event.by : `${event.by} 0x${event.reason.toString(16)}`);
      return;
    case "received":
      counts.add("delivered", `QoS ${event.qos}${event.retain ? " retained" : ""}`);
      if (event.dup) counts.add("delivered", "of these DUP");
      return;
    case "connected":
      counts.add("connected", event.sessionPresent ? "resumed" : "new sessions");
      return;
    case "refused":
      counts.add("connected", `refused 0x${event.reason.toString(16)}`);
      return;
    case "closed":
      if (event.by === "broker") counts.add("connected", `closed by the broker ${event.detail ?? ""}`.trim());
      return;
    case "subscribed":
    case "unsubscribed":
      for (const code of event.granted) if (code >= 0x80) counts.add("connected", `${event.type} ${code}`);
      return;
    case "fault":
      counts.add("fault", event.fault);
      return;
    default:
      return;
  }
}

class Counts {
  readonly #counts = new Map<string, Map<string, number>>();

  add(row: string, what: string): void {
    const counts = this.#counts.get(row) ?? new Map<string, number>();
    counts.set(what, (counts.get(what) ?? 0) + 1);
    this.#counts.set(row, counts);
  }

  line(row: string): string {
    const counts = [...(this.#counts.get(row) ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
    return counts.map(([what, times]) => `${times} ${what}`).join(", ") || "nothing";
  }
}

/** Two excerpts for each rule, of different messages: the others are mostly the same story again. */
export function explanation({ events, violations, log }: Outcome): string {
  const byRule = Map.groupBy(violations, ({ rule }) => rule);
  const stories = [...byRule].map(([rule, alike]) => {
    const [first, ...others] = alike;
    const second = others.find(({ payload, client }) => payload !== first!.payload || client !== first!.client);
    const told = [first!, ...(second ? [second] : others.slice(0, 1))];
    return [
      `\n${rule} (${alike.length})`,
      ...told.map((violation) => `${violation.says}\n${excerpt(events, violation)}`),
      ...others.slice(0, 10).map(({ says }) => `  also: ${says}`),
    ].join("\n");
  });
  return [...stories, "\nthe broker's last words:", ...log.slice(-20)].join("\n");
}

/**
 * The life of the message that a violation is about: who sent it when, what was answered, how it came to the client that
 * complains, and both their connections and the faults meanwhile.
 */
function excerpt(events: readonly HistoryEvent[], violation: Violation): string {
  const { payload, client, index: seen } = violation;
  const about = new Set<number>();
  const actors = new Set(concerned(events, client));
  const underway = new Map<string, number>();
  let others = 0;
  for (const [index, event] of events.entries()) {
    if (payload === undefined || index > seen) break;
    if (event.type === "fault" || event.type === "kept" || event.type === "dropped") continue;
    const sends = event.type === "connect" ? event.will?.payload : event.type === "publish" ? event.payload : undefined;
    if (sends === payload) actors.add(event.client);
    const isIt = sends === payload || (event.type === "received" && event.payload === payload);
    if (isIt && !actors.has(event.client)) others += 1;
    if (!actors.has(event.client)) continue;
    const direction = /publish|acknowledged|release$/.test(event.type) ? "out" : "in";
    const packetId = "packetId" in event ? event.packetId : 0;
    if (isIt) underway.set(`${event.client} ${direction}`, packetId);
    else if (packetId === 0 || underway.get(`${event.client} ${direction}`) !== packetId) continue;
    about.add(index);
    if ("by" in event && event.by !== "pubrec") underway.delete(`${event.client} ${direction}`);
  }
  const first = about.size > 0 ? Math.min(...about) : lastConnects(events, client, seen, 3);
  about.add(seen);
  for (const [index, event] of events.entries()) {
    if (index > seen) break;
    if (event.type === "kept" || event.type === "dropped" || !actors.has(event.client ?? "")) {
      // Whatever happened to shards may have to do with it; what happened to others' sessions has not.
      if (event.type === "fault" && index > first && isNear(event.object, actors)) about.add(index);
      continue;
    }
    const asks = event.client === client && /subscribe/.test(event.type);
    if (asks || (index >= first && isLife(event)) || isLastConnect(events, index, first)) about.add(index);
  }
  const lines = [...about].sort((a, b) => a - b).flatMap((index) => (events[index] ? [line(events[index])] : []));
  if (others > 0) lines.push(`  and it came ${others} times to others`);
  if (lines.length <= EXCERPT_LINES) return lines.join("\n");
  const half = EXCERPT_LINES / 2;
  return [...lines.slice(0, half), `  … ${lines.length - 2 * half} more …`, ...lines.slice(-half)].join("\n");
}

/** The client of a violation; of a share group everybody who asked to be in it. */
export function concerned(events: readonly HistoryEvent[], client: string): string[] {
  if (sharedFilter(client) === undefined) return [client];
  const members = events.flatMap((event) => {
    return event.type === "subscribe" && event.filters.some(({ filter }) => filter === client) ? [event.client] : [];
  });
  return [...new Set(members)];
}

/** Where a client connected for the last but so many times. */
function lastConnects(events: readonly HistoryEvent[], client: string, before: number, times: number): number {
  let at = before;
  for (let index = before - 1; index >= 0 && times > 0; index--) {
    const event = events[index]!;
    if (event.type !== "connect" || event.client !== client) continue;
    at = index;
    times -= 1;
  }
  return at;
}

function isNear(object: string, actors: ReadonlySet<string>): boolean {
  const [kind, client] = object.split(" ");
  return kind === "shard" || object === "workerd" || actors.has(client ?? object);
}

/** The connection that was open at `first`. */
function isLastConnect(events: readonly HistoryEvent[], index: number, first: number): boolean {
  const event = events[index]!;
  if (index > first || (event.type !== "connect" && event.type !== "connected")) return false;
  return !events
    .slice(index + 1, first)
    .some((later) => "client" in later && later.client === event.client && later.type === event.type);
}

function isLife({ type }: HistoryEvent): boolean {
  return /^(connect|connected|refused|disconnect|closed)$/.test(type);
}

function line({ at, type, ...rest }: HistoryEvent): string {
  const { client = "", connection = "", ...other } = rest as Record<string, unknown>;
  const details = Object.entries(other).map(([name, value]) => `${name} ${JSON.stringify(value)}`);
  const who = type === "fault" ? "" : `${String(client)}/${String(connection)}`;
  return `  ${(at / 1000).toFixed(3).padStart(9)} ${who.padEnd(14)} ${type} ${details.join(", ")}`;
}
