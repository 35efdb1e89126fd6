/**
 * One round of torture: everybody connects, load and faults run for a while, the faults stop, everybody comes back, and
 * what is owed has to come. Then the history is judged.
 */
import { setTimeout as after } from "node:timers/promises";
import { Random } from "../support/random.ts";
import { cast, MESSAGE_TOPICS, RETAINED_TOPICS, WILL_TOPICS, type Part } from "./cast.ts";
import { check, owed, type Violation } from "./checker.ts";
import { Device } from "./device.ts";
import { strike, type FaultName, type Scene } from "./faults.ts";
import { History, type HistoryEvent } from "./history.ts";
import { Load } from "./load.ts";
import { key } from "./payload.ts";
import type { Site } from "./site.ts";

export interface Plan {
  readonly seed: number;
  /** How long load and faults run. */
  readonly seconds: number;
  readonly faults: readonly FaultName[];
  /** Time between two faults, on average. */
  readonly faultEveryMs: number;
  /** How long what is owed may not become less, before it counts as lost. */
  readonly patienceMs?: number;
}

export interface Outcome {
  readonly plan: Plan;
  readonly events: readonly HistoryEvent[];
  readonly violations: readonly Violation[];
  /** What had not happened when patience was over. */
  readonly stuck: readonly string[];
  readonly settledMs: number;
  readonly failedTurns: number;
  readonly log: readonly string[];
}

/** How long nothing may become less. Longer than the 10 s after which a call is made again that failed. */
const PATIENCE_MS = 30_000;
const AUDITOR = "auditor";

/** @param site is closed at the end */
export async function round(plan: Plan, site: Site): Promise<Outcome> {
  const random = new Random(plan.seed);
  const history = new History(() => performance.now());
  const devices: Device[] = [];
  const enlist = (part: Part): Device => {
    const device = new Device(part.profile, () => site.address(), history, random);
    devices.push(device);
    device.come();
    return device;
  };
  try {
    const parts = cast(random).map((part) => ({ part, device: enlist(part) }));
    const members = [...devices];
    const stuck = [...(await settled(members, history, plan.patienceMs))];

    const load = new Load(random);
    for (const { part, device } of parts) load.start(part, device);
    await strikes(plan, { site, devices: members, history, random });
    load.stop();
    await site.mendDisk();
    for (const device of members) device.come();

    const faultsOver = performance.now();
    stuck.push(...(await settled(members, history, plan.patienceMs)));
    if (stuck.length === 0) stuck.push(...(await audit(enlist({ profile: auditorProfile(random) }), devices, history)));
    const settledMs = performance.now() - faultsOver;

    history.close();
    return {
      plan,
      events: history.events,
      violations: check(history.events),
      stuck: [...new Set(stuck)],
      settledMs,
      failedTurns: site.failedTurns,
      log: site.log,
    };
  } finally {
    history.close();
    for (const device of devices) device.stop();
    await site.close();
  }
}

/** Faults, until time is up; what lasts for a while is waited for. */
async function strikes({ seconds, faults, faultEveryMs }: Plan, scene: Scene): Promise<void> {
  const end = performance.now() + seconds * 1000;
  const lasting = new Set<Promise<void>>();
  for (;;) {
    const pauseMs = scene.random.next() * 2 * faultEveryMs;
    const left = end - performance.now();
    await after(Math.max(0, Math.min(pauseMs, left)));
    if (pauseMs >= left) break;
    if (faults.length === 0) continue;
    const fault = strike(scene.random.of(faults), scene).finally(() => lasting.delete(fault));
    lasting.add(fault);
  }
  await Promise.all(lasting);
}

/**
 * Waits until none of them waits for anything and, with a history, nothing is owed to anybody, as long as it becomes
 * less. Returns what is still missing when patience is over.
 */
async function settled(devices: readonly Device[], history?: History, patienceMs = PATIENCE_MS): Promise<string[]> {
  let least = Number.POSITIVE_INFINITY;
  let end = performance.now() + patienceMs;
  for (;;) {
    const missing = devices.flatMap((device) => {
      const unsettled = device.unsettled;
      return unsettled === undefined ? [] : [`${device.clientId} ${unsettled}`];
    });
    if (history) missing.push(...owed(history.events).map(({ says }) => says));
    if (missing.length === 0) return [];
    if (missing.length < least) {
      least = missing.length;
      end = performance.now() + patienceMs;
    }
    if (performance.now() > end) return missing;
    await after(Math.min(1000, 20 + missing.length));
  }
}

function auditorProfile(random: Random): Device["profile"] {
  const transport = random.of(["ws", "tcp"] as const);
  return {
    clientId: AUDITOR,
    version: 5,
    transport,
    expirySeconds: 0,
    receiveMaximum: 65_535,
    filters: [],
    answerMs: 0,
  };
}

let fences = 0;
function fence(auditor: Device, topic: string): string {
  const payload = key(`${AUDITOR}-fence`, ++fences, 0);
  if (!auditor.publish({ topic, payload, qos: 1, retain: false })) throw new Error("the auditor cannot publish");
  return payload;
}

/**
 * Asks once more: a message to every topic, behind which nothing is on its way any more, and which retained message each
 * topic has. Returns what did not come.
 */
async function audit(auditor: Device, devices: readonly Device[], history: History): Promise<string[]> {
  const stuck = await settled([auditor]);
  if (stuck.length > 0) return stuck;
  for (const topic of [...MESSAGE_TOPICS, ...WILL_TOPICS]) fence(auditor, topic);
  for (const topic of RETAINED_TOPICS) {
    const from = history.events.length;
    auditor.want(topic, 1);
    // It comes before what is published after SUBACK, or some fences later.
    for (let tries = 0; tries < 3 && keptSince(history, from, topic) === undefined; tries++) {
      stuck.push(...(await settled([auditor])));
      fence(auditor, topic);
      stuck.push(...(await settled([auditor])));
      if (stuck.length > 0) return stuck;
    }
    history.record({ type: "kept", topic, payload: keptSince(history, from, topic) ?? "" });
  }
  return settled(devices, history);
}

function keptSince(history: History, from: number, topic: string): string | undefined {
  for (const event of history.events.slice(from)) {
    if (event.type === "received" && event.client === AUDITOR && event.retain && event.topic === topic) {
      return event.payload;
    }
  }
  return undefined;
}
