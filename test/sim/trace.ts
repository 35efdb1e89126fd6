/** Writes down everything that happens in a simulation, so that what it finds can be drawn. */

import type { HistoryEvent } from "../trial/history.ts";
import type { Cut } from "./cut.ts";
import { diagram, type Line } from "./diagram.ts";
import { type Finding, findingOf } from "./finding.ts";
import { simulate } from "./simulate.ts";
import type { SimulatedSite } from "./site.ts";
import { PLATFORM, type Step } from "./world/step.ts";

/** Lines of a drawing: the last ones. */
const LINES_MAX = 400;

/** Plays a simulation once more, and draws it up to what it finds. */
export async function draw(seed: number, cut: Cut, finding: Finding): Promise<string> {
  const trace = new Trace();
  const again = await findingOf(simulate(seed, cut, (site) => trace.attend(site)));
  return trace.draw(again ?? finding);
}

class Trace {
  readonly #steps: { readonly step: Step; readonly events: number }[] = [];
  #site: SimulatedSite | undefined;

  attend(site: SimulatedSite): void {
    this.#site = site;
    site.world.onStep = (step) => this.#steps.push({ step, events: site.history?.events.length ?? 0 });
  }

  draw({ clients, says, at }: Finding): string {
    const site = this.#site!;
    const events = site.history?.events ?? [];
    const lines: Line[] = [];
    let told = 0;
    const tell = (until: number): void => {
      for (; told < until; told++) lines.push(...lineOf(events[told]!));
    };
    const end = Math.min(at + 1, events.length);
    for (const { step, events: before } of this.#steps) {
      // What comes after that has nothing to do with it.
      if (before >= end && at < Infinity) break;
      tell(before);
      lines.push(lineOfStep(step, site.clock.now - site.world.now));
    }
    tell(end);
    const who = clients.length > 0 ? clients : [...new Set(events.flatMap((event) => clientOf(event) ?? []))];
    const parties = this.#parties(who, lines);
    const shown = lines.filter(({ from, to }) => isShown(from, parties) && isShown(to, parties));
    const left = shown.length - LINES_MAX;
    const more = left > 0 ? `… ${left} lines before\n` : "";
    return `${more}${diagram(parties, shown.slice(-LINES_MAX))}\n${" ".repeat(12)}═══ ${says}`;
  }

  /** For each client: itself, its connections, its session object; and the shards that they speak with. */
  #parties(clients: readonly string[], lines: readonly Line[]): string[] {
    const own = clients.flatMap((client) => [client, `${client}'s`, `session ${client}`]);
    const shards = lines.flatMap(({ from, to }) => {
      const other = own.includes(from ?? "") ? to : own.includes(to ?? "") ? from : undefined;
      return other?.startsWith("shard ") ? [other] : [];
    });
    return [...own, ...new Set(shards)].filter((party) => lines.some(({ from, to }) => from === party || to === party));
  }
}

function isShown(party: string | undefined, parties: readonly string[]): boolean {
  return party === undefined || parties.includes(party);
}

/** @param offsetMs from the world's time to the trial's */
function lineOfStep({ at, from, to, what }: Step, offsetMs: number): Line {
  const ms = at + offsetMs;
  const [sender, receiver] = [columnOf(from), columnOf(to)];
  const number = /\.(\d+)$/.exec(from)?.[1] ?? /\.(\d+)$/.exec(to)?.[1];
  const text = number === undefined ? what : `${what}  (${number})`;
  if (from === PLATFORM) return { ms, from: receiver, to: receiver, text: text.toUpperCase() };
  return { ms, from: sender, to: receiver, text };
}

/** "client d1" is d1, and all of its connections are one column. */
function columnOf(party: string): string {
  const [kind, name = ""] = party.split(" ");
  if (kind === "client") return name;
  return kind === "connection" ? `${name.replace(/\.\d+$/, "")}'s` : party;
}

function clientOf(event: HistoryEvent): string | undefined {
  return "client" in event ? event.client : undefined;
}

function lineOf({ at: ms, ...event }: HistoryEvent): Line[] {
  if (event.type === "fault") {
    return [{ ms, from: undefined, to: undefined, text: `${event.fault}: ${event.object}` }];
  }
  if (event.type === "kept") {
    const text = `${event.topic} retains ${event.payload === "" ? "nothing" : `"${event.payload}"`}`;
    return [{ ms, from: undefined, to: undefined, text }];
  }
  if (event.type === "dropped") {
    const text = `${event.object} reports ${event.messages} messages lost: ${event.why}`;
    return [{ ms, from: undefined, to: undefined, text }];
  }
  const { client, connection, type, ...rest } = event;
  const text = [type, ...Object.entries(rest).map(([name, value]) => words(name, value)), `(${connection})`];
  return [{ ms, from: client, to: client, text: text.filter((word) => word !== "").join(" ") }];
}

function words(name: string, value: unknown): string {
  if (value === false || (name === "reason" && value === 0)) return "";
  if (value === true) return name;
  if (name === "topic") return `on ${value as string}`;
  return name === "payload" ? JSON.stringify(value) : `${name} ${JSON.stringify(value)}`;
}
