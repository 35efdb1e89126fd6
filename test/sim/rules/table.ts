/**
 * `docs/attacked-schedules.md`: the rules, their schedules, and what happens without them. What follows its introduction
 * is written from the schedules.
 *
 *     node test/sim/rules/table.ts   writes it
 */
import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { faultsOf, type Schedule } from "./schedule.ts";
import { THEMES } from "./schedules.ts";

const TABLE = resolve(import.meta.dirname, "../../../docs/attacked-schedules.md");
const FIRST_HEADING = "\n## ";

export function table(): string {
  return readFileSync(TABLE, "utf8");
}

/** The table with the schedules that there are. */
export function filledTable(): string {
  const introduction = table().split(FIRST_HEADING)[0]!;
  const themes = Object.entries(THEMES).map(([theme, schedules]) => {
    const rows = Object.entries(schedules).map(([name, schedule]) => row(name, schedule));
    return [`${FIRST_HEADING}${theme}\n`, "| rule | schedule | without it |", "|---|---|---|", ...rows, ""].join("\n");
  });
  return introduction + themes.join("");
}

function row(name: string, schedule: Schedule): string {
  const faults = faultsOf(schedule).map((fault) => fault.name);
  return `| ${schedule.rule} | ${name} | **${schedule.harm}.** When ${faults.join("; or ")} |`;
}

if (import.meta.main) writeFileSync(TABLE, filledTable());
