/** The table of rules is only as good as the script that holds it to the tree: each kind of error must be found. */
import { expect, test } from "vitest";
import { citations, judge, judgeTree, readRules } from "../../scripts/rules.ts";

const real = judgeTree();
const tests = new Map([["test/core/a.test.ts", 'test("[MQTT-3.1.0-1] x", () => {});']]);
const row = (id: string, binds: string, kept: string, shown: string): string =>
  `| ${id} | says | ${binds} | ${kept} | ${shown} |`;
const FILE = "[a](../src/a.ts)";
const SHOWN = "[core/a](../test/core/a.test.ts)";

/** What is wrong with a table of these rows, beyond that it lacks the others. */
function found(...rows: string[]): string[] {
  const { wrong, untested } = judge(rows.join("\n"), tests, (path) => path === "src/a.ts");
  return [...wrong.filter((problem) => !problem.endsWith(" is missing")), ...untested.map((id) => `${id} untested`)];
}

test("the table is true of the tree, and whatever binds the server has a test", () => {
  expect(real.wrong).toEqual([]);
  expect(real.untested).toEqual([]);
});

test("all 251 statements are in it", () => {
  expect(readRules(real.table).filter(({ id }) => !id.startsWith("v3 "))).toHaveLength(251);
  expect(judge("", new Map(), () => true).wrong.filter((problem) => problem.endsWith(" is missing"))).toHaveLength(251);
});

test("nothing is found where nothing is wrong", () => {
  expect(found(row("3.1.0-1", "client", FILE, SHOWN))).toEqual([]);
  expect(found(row("3.1.0-1", "client", FILE, SHOWN), row("3.2.2-4", "client", "", "client's"))).toEqual([]);
  expect(found(row("3.1.0-1", "client", FILE, SHOWN), row("3.2.2-9", "server", "", "not applicable: x"))).toEqual([]);
});

test.each<[what: string, rows: string[], problem: string]>([
  ["twice", [row("3.1.0-1", "client", FILE, SHOWN), row("3.1.0-1", "client", FILE, SHOWN)], "3.1.0-1 is there twice"],
  ["unknown", [row("3.1.0-3", "client", "", "client's")], "3.1.0-3 does not exist"],
  ["without a number of the standard", [row("2.2.1-1", "client", "", "client's")], "2.2.1-1 does not exist"],
  [
    "with a file that is not there",
    [row("3.1.0-1", "client", "[b](../src/b.ts)", SHOWN)],
    "3.1.0-1: there is no src/b.ts",
  ],
  ["server's, without a test", [row("3.1.0-2", "server", FILE, "")], "3.1.0-2 untested"],
  ["judged, without a test", [row("3.1.2-9", "client", FILE, "client's")], "3.1.2-9 untested"],
  [
    "with a test that shows another",
    [row("3.1.0-2", "client", "", SHOWN)],
    "3.1.0-2: test/core/a.test.ts does not cite it",
  ],
  [
    "excused, though it has a test",
    [row("3.1.0-1", "server", FILE, "not yet: x")],
    "3.1.0-1 has tests, and the table does not name them: npm run rules -- --write",
  ],
  ["cited, and not there", [], "test/core/a.test.ts cites 3.1.0-1, which is not in the table"],
  ["of nobody", [row("3.1.0-1", "", FILE, SHOWN)], "3.1.0-1 binds "],
])("a statement that is %s is found", (_what, rows, problem) => {
  expect(found(...rows)).toContain(problem);
});

test("the tests that there are are written into the table", () => {
  const table = judge(row("3.1.0-1", "client", FILE, "not yet: x"), tests, () => true).table;
  expect(table).toBe(row("3.1.0-1", "client", FILE, SHOWN));
});

test.each([
  ["[MQTT-3.1.0-1]", ["3.1.0-1"]],
  ["[v3 MQTT-3.1.4-1] and [MQTT-4.2-1]", ["v3 3.1.4-1", "4.2-1"]],
  ["[MQTT-3.3.2-15..17]", ["3.3.2-15", "3.3.2-16", "3.3.2-17"]],
  ["[MQTT-3.3.2-4, -15, -20]", ["3.3.2-4", "3.3.2-15", "3.3.2-20"]],
  ["[MQTT-3.3.2-4, -15 to -17]", ["3.3.2-4", "3.3.2-15", "3.3.2-16", "3.3.2-17"]],
  ["[MQTT §3.1.2.10]", []],
])("%s cites %j", (text, ids) => {
  expect(citations(text)).toEqual(ids);
});
