/** All attacked schedules. */
import { log } from "./log.ts";
import { qos2 } from "./qos2.ts";
import { retained } from "./retained.ts";
import { play, type Schedule, type Schedules } from "./schedule.ts";
import { fences } from "./fences.ts";
import { grace } from "./grace.ts";
import { limits } from "./limits.ts";
import { links } from "./links.ts";
import { sessions } from "./sessions.ts";
import { subscribe } from "./subscribe.ts";
import { versions } from "./versions.ts";
import { wills } from "./wills.ts";

/** By their themes. */
export const THEMES: Readonly<Record<string, Schedules>> = {
  "A session is (client id, generation)": sessions,
  "SUBSCRIBE of a lasting session": subscribe,
  "Wills come last": wills,
  "A broken link is not a broken client": links,
  "A lost link forgets nobody": grace,
  Versions: versions,
  Fences: fences,
  "What is fixed and what is bounded": limits,
  "The log": log,
  "Retained messages are a place in a scan": retained,
  "Exactly once": qos2,
};

export function schedule(name: string): Schedule {
  for (const schedules of Object.values(THEMES)) if (schedules[name]) return schedules[name];
  throw new Error(`there is no schedule "${name}"`);
}

export function playByName(name: string): void {
  play(schedule(name));
}
