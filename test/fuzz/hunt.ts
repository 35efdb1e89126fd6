/** Runs scripts until there are enough of them, and makes of each failure a small script that fails in the same way. */
import { crowd, CROWD } from "./crowd.ts";
import { print, script, type Script, shrink } from "./script.ts";
import { solo, SOLO, type Tally } from "./solo.ts";

export const MODES = {
  /** One connection, objects that answer. */
  solo: { run: solo, habits: SOLO },
  /** The whole broker in one process, several clients, two witnesses. */
  crowd: { run: crowd, habits: CROWD },
} as const;

export type Mode = keyof typeof MODES;

export interface Failure {
  readonly seed: number;
  readonly why: string;
  readonly script: Script;
}

/** @returns what was wrong, or undefined */
export function attempt(mode: Mode, one: Script, tally?: Tally): string | undefined {
  try {
    const { packets, answers, connections } = MODES[mode].run(one);
    if (!tally) return undefined;
    tally.packets += packets;
    tally.answers += answers;
    tally.connections += connections;
    return undefined;
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
}

/** Two failures are of a kind when they say the same but for numbers and bytes. */
function kind(why: string): string {
  return why.split("\n")[0]!.replaceAll(/[0-9a-f]{6,}|\d+/g, "…");
}

export function explore(mode: Mode, seed: number, tally: Tally): Failure | undefined {
  const whole = script(seed, MODES[mode].habits);
  const why = attempt(mode, whole, tally);
  if (why === undefined) return undefined;
  const small = shrink(whole, (candidate) => kind(attempt(mode, candidate) ?? "") === kind(why));
  return { seed, why: attempt(mode, small) ?? why, script: small };
}

export function report(mode: Mode, { seed, why, script: failing }: Failure): string {
  return `# ${mode}: ${why.split("\n").slice(0, 8).join("\n# ")}\n# found with seed ${seed}\n${print(failing)}\n`;
}
