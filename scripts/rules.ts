/**
 * `docs/rules.md` lists every numbered statement of MQTT 5.0, where it is kept and which tests show it. Is that true?
 *
 *     npm run rules              says what is wrong, and which statements have no test
 *     npm run rules -- --write   fills in the tests
 *
 * A test shows a statement by citing it, in its title or above it: `[MQTT-3.1.0-1]`, for one of MQTT 3.1.1
 * `[v3 MQTT-3.1.4-1]`; `[MQTT-3.3.2-15..20]` and `[MQTT-3.3.2-4, -15]` are several.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";

/** Statements of each section, as Appendix B of the OASIS Standard of 7 March 2019 numbers them; 2.2.1-1 does not exist. */
const SECTIONS: Record<string, number> = {
  "1.5.4": 3,
  "1.5.5": 1,
  "1.5.7": 1,
  "2.1.3": 1,
  "2.2.1": 6,
  "2.2.2": 1,
  "3.1.0": 2,
  "3.1.2": 30,
  "3.1.3": 12,
  "3.1.4": 6,
  "3.2.0": 2,
  "3.2.2": 22,
  "3.3.1": 13,
  "3.3.2": 20,
  "3.3.4": 10,
  "3.4.2": 3,
  "3.5.2": 3,
  "3.6.1": 1,
  "3.6.2": 3,
  "3.7.2": 3,
  "3.8.1": 1,
  "3.8.3": 5,
  "3.8.4": 8,
  "3.9.2": 2,
  "3.9.3": 2,
  "3.10.1": 1,
  "3.10.3": 2,
  "3.10.4": 6,
  "3.11.2": 2,
  "3.11.3": 2,
  "3.12.4": 1,
  "3.14.0": 1,
  "3.14.1": 1,
  "3.14.2": 4,
  "3.14.4": 3,
  "3.15.1": 1,
  "3.15.2": 3,
  "4.1.0": 2,
  "4.2": 1,
  "4.3.1": 1,
  "4.3.2": 5,
  "4.3.3": 13,
  "4.4.0": 2,
  "4.5.0": 2,
  "4.6.0": 6,
  "4.7.0": 1,
  "4.7.1": 2,
  "4.7.2": 1,
  "4.7.3": 4,
  "4.8.2": 6,
  "4.9.0": 3,
  "4.12.0": 7,
  "4.12.1": 2,
  "4.13.1": 1,
  "4.13.2": 1,
  "6.0.0": 4,
};
const NOT_NUMBERED = new Set(["2.2.1-1"]);
/** Tests that are named beside a statement; more are found by its number. */
const SHOWN_MAX = 3;

const root = resolve(import.meta.dirname, "..");
export const TABLE = join(root, "docs/rules.md");

/** One row of the table. */
export interface Rule {
  readonly id: string;
  readonly binds: string;
  readonly keptIn: string;
  readonly shownBy: string;
}

export interface Verdict {
  /** What the table says and the tree does not, or the reverse. */
  readonly wrong: string[];
  /** Statements that have no test, and a reason in the table why not. */
  readonly excused: string[];
  /** Statements that bind the server, or that it judges its clients by, and that no test cites. */
  readonly untested: string[];
  /** The table with the tests that there are. */
  readonly table: string;
}

export function readRules(table: string): Rule[] {
  return table.split("\n").flatMap((line) => {
    const rule = readRow(line);
    return rule ? [rule] : [];
  });
}

function readRow(line: string): Rule | undefined {
  if (!/^\| (?:v3 )?\d/.test(line)) return undefined;
  const [, id = "", , binds = "", keptIn = "", shownBy = ""] = line.split("|").map((cell) => cell.trim());
  return { id, binds, keptIn, shownBy };
}

/** The statements that a text cites, `3.1.0-1` or `v3 3.1.4-1`. */
export function citations(text: string): string[] {
  const ids: string[] = [];
  const several = /(v3 )?MQTT-(\d+(?:\.\d+)+)-(\d+)((?:\.\.\d+|(?:, | and | to |\/)-\d+)*)/g;
  for (const [, version = "", section, first, rest = ""] of text.matchAll(several)) {
    let last = Number(first);
    ids.push(`${version}${section}-${last}`);
    for (const [, link, number] of rest.matchAll(/(\.\.|(?:, | and | to |\/)-)(\d+)/g)) {
      const from = link === ".." || link === " to -" ? last + 1 : Number(number);
      for (last = from; last <= Number(number); last++) ids.push(`${version}${section}-${last}`);
      last = Number(number);
    }
  }
  return ids;
}

/** @param tests paths from the root of the project, with what is in them */
export function judge(table: string, tests: ReadonlyMap<string, string>, exists: (path: string) => boolean): Verdict {
  const rules = readRules(table);
  const wrong: string[] = [];
  const known = new Set<string>();
  for (const { id } of rules) {
    if (known.has(id)) wrong.push(`${id} is there twice`);
    known.add(id);
  }
  const numbered = new Set<string>();
  for (const [section, count] of Object.entries(SECTIONS)) {
    for (let i = 1; i <= count; i++) if (!NOT_NUMBERED.has(`${section}-${i}`)) numbered.add(`${section}-${i}`);
  }
  for (const id of numbered) if (!known.has(id)) wrong.push(`${id} is missing`);
  for (const id of known) if (!id.startsWith("v3 ") && !numbered.has(id)) wrong.push(`${id} does not exist`);

  const citing = new Map<string, string[]>();
  for (const [path, text] of tests) {
    for (const id of new Set(citations(text))) {
      if (!known.has(id)) wrong.push(`${path} cites ${id}, which is not in the table`);
      citing.set(id, [...(citing.get(id) ?? []), path]);
    }
  }

  const excused: string[] = [];
  const untested: string[] = [];
  const shown = new Map<string, string>();
  for (const { id, binds, keptIn, shownBy } of rules) {
    if (!["client", "server", "both"].includes(binds)) wrong.push(`${id} binds ${binds}`);
    const kept = links(keptIn);
    for (const path of kept) if (!exists(path)) wrong.push(`${id}: there is no ${path}`);
    const by = citing.get(id) ?? [];
    for (const path of links(shownBy)) if (!by.includes(path)) wrong.push(`${id}: ${path} does not cite it`);
    const reason = /^(not applicable|not yet): ./.test(shownBy);
    if (by.length > 0) {
      if (links(shownBy).length === 0)
        wrong.push(`${id} has tests, and the table does not name them: npm run rules -- --write`);
      shown.set(id, by.slice(0, SHOWN_MAX).map(link).join(", "));
    } else if (reason) excused.push(id);
    else if (binds !== "client" || kept.length > 0) untested.push(id);
    else shown.set(id, "client's");
  }
  const filled = table.split("\n").map((line) => {
    const cell = shown.get(readRow(line)?.id ?? "");
    return cell === undefined ? line : [...line.split("|").slice(0, 5), ` ${cell} `, ""].join("|");
  });
  return { wrong, excused, untested, table: filled.join("\n") };
}

/** The files that a cell links to, as paths from the root. */
function links(cell: string): string[] {
  return [...cell.matchAll(/\]\(\.\.\/([^)]+)\)/g)].map(([, path]) => path!);
}

function link(path: string): string {
  const name = path.replace(/^test\//, "").replace(/(\.test)?\.ts$/, "");
  return `[${name}](../${path})`;
}

/** The files whose tests show something: not what the tests are made with. */
export function testFiles(): Map<string, string> {
  const paths = readdirSync(join(root, "test"), { recursive: true, encoding: "utf8" })
    .map((path) => relative(root, join(root, "test", path)))
    .filter(
      (path) => /(\.test|\/corpus-[a-z]+|\/sim\/rules\/[a-z0-9]+)\.ts$/.test(path) && !path.startsWith("test/lint/"),
    );
  return new Map(paths.toSorted(nearestFirst).map((path) => [path, readFileSync(join(root, path), "utf8")]));
}

/** The rules by themselves say more of a statement than a whole broker does, and a whole broker more than one packet. */
function nearestFirst(a: string, b: string): number {
  const order = ["core", "broker", "mqtt"];
  const place = (path: string): number => {
    const known = order.indexOf(path.split("/")[1]!);
    return known < 0 ? order.length : known;
  };
  return place(a) - place(b) || (a < b ? -1 : 1);
}

export function judgeTree(): Verdict {
  return judge(readFileSync(TABLE, "utf8"), testFiles(), (path) => existsSync(join(root, path)));
}

if (import.meta.main) {
  if (process.argv.includes("--write")) writeFileSync(TABLE, judgeTree().table);
  const { wrong, excused, untested } = judgeTree();
  for (const problem of wrong) console.log(problem);
  for (const id of untested) console.log(`${id} has no test`);
  console.log(`${excused.length} statements are excused from a test: ${excused.join(", ")}`);
  if (wrong.length > 0 || untested.length > 0) process.exitCode = 1;
}
