/**
 * A trial: everybody connects, load and faults run for a while, the faults stop, everybody comes back, and what is owed
 * has to come. Then the history is judged.
 */
import { Random } from "../support/random.ts";
import type { Cast, Topics } from "./cast.ts";
import { check, owed } from "./judge/checker.ts";
import type { Violation } from "./judge/verdict.ts";
import { Device } from "./device.ts";
import type { Fault, Scene } from "./faults.ts";
import { History, type HistoryEvent } from "./history.ts";
import { Load } from "./load.ts";
import { Rude } from "./rude.ts";
import { key } from "./payload.ts";
import type { Site } from "./site.ts";

export interface Plan {
  readonly seed: number;
  /** How long load and faults run. */
  readonly seconds: number;
  readonly cast: (random: Random) => Cast;
  readonly faults: readonly Fault[];
  /** Time between two faults, on average. */
  readonly faultEveryMs: number;
  /** A trial goes on until this says so too, for {@link LONGEST} times as long at the most. */
  readonly enough?: () => boolean;
  /** Strikes that are left out, by number from 0: a smaller trial that shows the same is easier to read. */
  readonly without?: ReadonlySet<number>;
}

export interface Outcome {
  readonly plan: Plan;
  readonly events: readonly HistoryEvent[];
  readonly violations: readonly Violation[];
  /** What had not happened when patience was over. */
  readonly stuck: readonly string[];
  /** What was left behind by sessions that had ended. */
  readonly left: readonly string[];
  /** How often something was done to the site. */
  readonly strikes: number;
  /** Offences that rude clients committed and were told of as they should be. */
  readonly offences: number;
  readonly settledMs: number;
  readonly failedTurns: number;
  readonly log: readonly string[];
}

const AUDITOR = "auditor";
const LONGEST = 100;

/** @param site is closed at the end */
export async function trial(plan: Plan, site: Site): Promise<Outcome> {
  const { seed } = plan;
  const { clock, network } = site;
  const history = new History(() => clock.now);
  site.attend?.(history);
  const devices: Device[] = [];
  const offenders: Rude[] = [];
  const enlist = (profile: Device["profile"]): Device => {
    const random = Random.stream(seed, profile.clientId);
    const device = new Device(profile, { clock, network, history, random });
    devices.push(device);
    device.come();
    return device;
  };
  try {
    const { parts, topics, rude = [] } = plan.cast(Random.stream(seed, "cast"));
    const players = parts.map((part) => ({ part, device: enlist(part.profile) }));
    const members = [...devices];
    const stuck = [...(await settled(members, site))];

    const loads = players.map(({ part, device }) => {
      const load = new Load(clock, Random.stream(seed, `load of ${device.clientId}`));
      load.start(part, device);
      return load;
    });
    for (const profile of rude) {
      const one = new Rude(profile, { clock, network, history, random: Random.stream(seed, profile.clientId) });
      offenders.push(one);
      one.start();
    }
    const struck = await strikes(plan, { site, devices: members, history });
    for (const load of loads) load.stop();
    await site.mend();
    for (const device of members) {
      device.come();
      device.hurry();
    }

    const faultsOver = clock.now;
    stuck.push(...(await departures(offenders, site)));
    stuck.push(...(await settled(members, site, history)));
    if (stuck.length === 0) {
      stuck.push(
        ...(await audit(enlist(auditorProfile(Random.stream(seed, "audit"))), { devices, topics, history, site })),
      );
    }
    const settledMs = clock.now - faultsOver;
    if (stuck.length === 0) stuck.push(...((await site.strays?.()) ?? []));

    history.close();
    return {
      plan,
      events: history.events,
      violations: [...check(history.events), ...offenders.flatMap(({ violations }) => violations)],
      stuck: [...new Set(stuck)],
      left: stuck.length === 0 && site.remains ? await farewell(devices, site, site.remains.bind(site)) : [],
      offences: offenders.reduce((sum, { told }) => sum + told, 0),
      strikes: struck,
      settledMs,
      failedTurns: site.failedTurns,
      log: site.log,
    };
  } finally {
    history.close();
    for (const device of devices) device.stop();
    for (const one of offenders) one.hangUp();
    await site.close();
  }
}

/** Faults, until time is up; what lasts for a while is waited for. Returns how many. */
async function strikes(plan: Plan, scene: Omit<Scene, "random">): Promise<number> {
  const { seed, seconds, faults, faultEveryMs, enough = () => true, without = new Set() } = plan;
  const pauses = Random.stream(seed, "pauses");
  const { clock } = scene.site;
  let end = clock.now + seconds * 1000;
  const last = clock.now + LONGEST * seconds * 1000;
  const lasting = new Set<Promise<void>>();
  let number = 0;
  for (;;) {
    const pauseMs = pauses.next() * 2 * faultEveryMs;
    const left = end - clock.now;
    await scene.site.sleep(Math.max(0, Math.min(pauseMs, left)));
    if (pauseMs >= left) {
      if (enough() || clock.now >= last) break;
      end += seconds * 200;
      continue;
    }
    if (faults.length === 0) continue;
    const random = Random.stream(seed, `strike ${number}`);
    if (without.has(number++)) continue;
    const strike = random
      .of(faults)
      .strike({ ...scene, random })
      .finally(() => lasting.delete(strike));
    lasting.add(strike);
  }
  await Promise.all(lasting);
  return number;
}

/** Returns who could not leave. */
async function departures(offenders: readonly Rude[], site: Site): Promise<string[]> {
  const { clock, pollMs, patienceMs } = site;
  const end = clock.now + patienceMs;
  for (const one of offenders) one.leave();
  for (;;) {
    const staying = offenders.filter(({ hasLeft }) => !hasLeft);
    if (staying.length === 0 || clock.now > end) return staying.map(({ clientId }) => `${clientId} cannot leave`);
    await site.sleep(pollMs);
  }
}

/**
 * Waits until none of them waits for anything and, with a history, nothing is owed to anybody, as long as it becomes
 * less. Returns what is still missing when patience is over.
 */
async function settled(devices: readonly Device[], site: Site, history?: History): Promise<string[]> {
  const { clock, pollMs, patienceMs } = site;
  let least = Number.POSITIVE_INFINITY;
  const begin = clock.now;
  let end = begin + patienceMs;
  for (;;) {
    const missing = devices.flatMap((device) => {
      const unsettled = device.unsettled;
      return unsettled === undefined ? [] : [`${device.clientId} ${unsettled}`];
    });
    // Before that more is missing in any case.
    if (history && missing.length === 0) missing.push(...owed(history.events).map(({ says }) => says));
    if (missing.length === 0) return [];
    if (missing.length < least) {
      least = missing.length;
      end = clock.now + patienceMs;
    }
    if (clock.now > end) return missing;
    // What takes long need not be looked at often.
    await site.sleep(Math.min(pollMs, 20 + missing.length + (clock.now - begin) / 4));
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

interface Audited {
  readonly devices: readonly Device[];
  readonly topics: Topics;
  readonly history: History;
  readonly site: Site;
}

/**
 * Asks once more: a message to every topic, behind which nothing is on its way any more, and which retained message each
 * topic has. Returns what did not come.
 */
async function audit(auditor: Device, { devices, topics, history, site }: Audited): Promise<string[]> {
  let fences = 0;
  const fence = async (topic: string): Promise<void> => {
    const payload = key(`${AUDITOR}-fence`, ++fences, 0);
    // The broker may take no more than one at a time.
    while (!auditor.publish({ topic, payload, qos: 1, retain: false })) await site.sleep(20);
  };
  const stuck = await settled([auditor], site);
  if (stuck.length > 0) return stuck;
  for (const topic of [...topics.messages, ...topics.wills]) await fence(topic);
  for (const topic of topics.retained) {
    const from = history.events.length;
    auditor.want({ filter: topic, qos: 1 });
    // It comes before what is published after SUBACK, or some fences later.
    for (let tries = 0; tries < 3 && keptSince(history, from, topic) === undefined; tries++) {
      stuck.push(...(await settled([auditor], site)));
      await fence(topic);
      stuck.push(...(await settled([auditor], site)));
      if (stuck.length > 0) return stuck;
    }
    history.record({ type: "kept", topic, payload: keptSince(history, from, topic) ?? "" });
    // It may have no more than a few subscriptions at a time.
    auditor.unwant(topic);
    // There may be a quota.
    auditor.unwant(topic);
  }
  return settled(devices, site, history);
}

/** Every session ends. Returns what should have gone with them. */
async function farewell(
  devices: readonly Device[],
  site: Site,
  remains: () => Promise<readonly string[]>,
): Promise<readonly string[]> {
  const { clock, pollMs, patienceMs } = site;
  for (const device of devices) {
    device.hangUp();
    device.endSession();
  }
  const end = clock.now + patienceMs;
  for (;;) {
    const staying = devices.filter(({ hasEnded }) => !hasEnded);
    if (staying.length === 0) return remains();
    if (clock.now > end) return staying.map(({ clientId }) => `${clientId} cannot end its session`);
    await site.sleep(pollMs);
  }
}

function keptSince(history: History, from: number, topic: string): string | undefined {
  for (const event of history.events.slice(from)) {
    if (event.type === "received" && event.client === AUDITOR && event.retain && event.topic === topic) {
      return event.payload;
    }
  }
  return undefined;
}
