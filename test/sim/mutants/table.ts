/**
 * The deliberate faults as docs/simulation.md lists them: from the list itself, which a test holds the page to.
 *
 *     npm run mutants -- --write      writes them into the page
 */

import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { MUTANTS, UNSEEN } from "./mutants.ts";

const PAGE = resolve(import.meta.dirname, "../../../docs/simulation.md");
const BEGIN = "<!-- faults: written by `npm run mutants -- --write` -->";
const END = "<!-- /faults -->";

export function table(): string {
  const lines = [
    `${Object.values(MUTANTS).flat().length} faults, each found within so many seeds from 1 on:`,
    "",
    "| part | what is wrong | seeds | shows as |",
    "|---|---|---|---|",
  ];
  for (const [part, all] of Object.entries(MUTANTS)) {
    for (const { name, seeds, signs } of all) lines.push(`| ${part} | ${name} | ${seeds} | ${signs.join(", ")} |`);
  }
  lines.push("", "Not found, and why:", "", "| part | what is wrong | why |", "|---|---|---|");
  for (const [part, all] of Object.entries(UNSEEN)) {
    for (const { name, why } of all) lines.push(`| ${part} | ${name} | ${why} |`);
  }
  return lines.join("\n");
}

/** What the page has. */
export function readTable(): string {
  const page = readFileSync(PAGE, "utf8");
  return page.slice(page.indexOf(BEGIN) + BEGIN.length, page.indexOf(END)).trim();
}

function writeTable(): void {
  const page = readFileSync(PAGE, "utf8");
  const [before, after] = [page.slice(0, page.indexOf(BEGIN) + BEGIN.length), page.slice(page.indexOf(END))];
  writeFileSync(PAGE, `${before}\n\n${table()}\n\n${after}`);
}

if (process.argv[1] === import.meta.filename && process.argv.includes("--write")) writeTable();
