/** docs/limits.md says what each limit is, what its bounds are and where it is tested: all of that is true. */
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, test } from "vitest";
import { readConfig } from "../../src/config.ts";
import { DEFAULT_LIMITS, type Limits } from "../../src/core/limits.ts";
import { LIMITERS } from "../../src/edge/turnstile.ts";

const root = resolve(import.meta.dirname, "../..");
const text = readFileSync(resolve(root, "docs/limits.md"), "utf8");

const rows = [...text.matchAll(/^\| (`[A-Z0-9_]+`(?:, `[A-Z0-9_]+`)*) \|(.*)\|$/gm)].map(
  ([, names = "", cells = ""]) => {
    const {
      0: otherwise = "",
      1: bounds = "",
      length,
      [length - 1]: tested = "",
    } = cells.split(" | ").map((cell) => cell.trim());
    return { names: [...names.matchAll(/[A-Z0-9_]+/g)].map(([name]) => name), otherwise, bounds, tested };
  },
);
const number = (written: string): number => Number(written.replaceAll(",", ""));
const key = (name: string): keyof Limits =>
  name.toLowerCase().replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()) as keyof Limits;

const numbers = rows
  .filter(({ bounds }) => bounds.includes("–"))
  .map(({ names: [name = ""], ...row }) => ({ name, ...row }));

test("every limit is there, and whatever else there is", () => {
  expect(numbers.map(({ name }) => key(name)).toSorted()).toEqual(Object.keys(DEFAULT_LIMITS).toSorted());
  const others = rows.filter(({ bounds }) => !bounds.includes("–")).flatMap(({ names }) => names);
  expect(others.toSorted()).toEqual(["BANS", ...LIMITERS].toSorted());
});

test.each(numbers)("$name is $otherwise, $bounds", ({ name, otherwise, bounds }) => {
  const [from = NaN, to = NaN] = bounds.split(" – ").map(number);
  const read = (value: number): number => readConfig({ [name]: String(value) }).limits[key(name)];
  expect(readConfig({}).limits[key(name)]).toBe(number(otherwise));
  expect([read(from), read(to)]).toEqual([from, to]);
  expect(() => read(to + 1)).toThrow(`${name} is "${to + 1}": it must be at most ${to}`);
  if (from > 0) expect(() => read(from - 1)).toThrow(`it must be at least ${from}`);
});

test("every limit is tested where it says so", () => {
  for (const { names, tested } of rows) {
    const files = tested.split(", ").map((file) => resolve(root, "test", `${file}.test.ts`));
    expect(
      files.filter((file) => !existsSync(file)),
      names[0],
    ).toEqual([]);
    const read = files.map((file) => readFileSync(file, "utf8")).join("\n");
    for (const name of names)
      expect(read.includes(name) || read.includes(key(name)), `${name} in ${tested}`).toBe(true);
  }
});
