/** Each attacked schedule does no harm, and does it when its rule is taken out of the production code. */
import { resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { mutatedFiles } from "../mutation/mutation.ts";
import { runMutated } from "../mutation/run.ts";
import { faultsOf, play } from "./schedule.ts";
import { playByName, THEMES } from "./schedules.ts";
import { filledTable, table } from "./table.ts";

const MODULE = resolve(import.meta.dirname, "schedules.ts");

describe.each(Object.entries(THEMES))("%s", (_theme, schedules) => {
  describe.each(Object.entries(schedules))("%s", (name, schedule) => {
    test("does no harm", () => {
      play(schedule);
    });

    test.each(faultsOf(schedule))("does when $name", async ({ mutations }) => {
      const outcome = await runMutated(mutations, MODULE, playByName.name, [name]);
      expect(outcome).toMatchObject({
        ok: false,
        error: { name: "Broken", message: expect.stringContaining(schedule.harm) as string },
      });
    });
  });
});

test("each rule can be taken away: the mutations fit the code", () => {
  for (const schedules of Object.values(THEMES)) {
    for (const schedule of Object.values(schedules)) {
      expect(schedule.without.length, schedule.rule).toBeGreaterThan(0);
      for (const { mutations } of faultsOf(schedule)) mutatedFiles(mutations);
    }
  }
});

test("no two schedules have one name", () => {
  const names = Object.values(THEMES).flatMap((schedules) => Object.keys(schedules));
  expect(names).toEqual([...new Set(names)]);
});

test("the table in docs is true of the schedules", () => {
  expect(table()).toBe(filledTable());
});
