import { expect, test } from "vitest";
import type { Mutation } from "./mutation/mutation.ts";
import { runMutated } from "./mutation/run.ts";
import type { Smallest } from "./smallest.ts";

const forgetful: Mutation = {
  name: "a shard forgets QoS 2 ids when it restarts",
  file: "src/core/shard/received.ts",
  find: "if (known.ids.size > 0) this.#store.putReceived(session, known, known.ids);",
  replace: "if (known.ids.size > 1_000) this.#store.putReceived(session, known, known.ids);",
};

test("a finding is made smaller, and drawn up to where it shows", async () => {
  const outcome = await runMutated([forgetful], `${import.meta.dirname}/smallest.ts`, "smallest", [60], 120_000);
  if (!outcome.ok) throw new Error(outcome.error.stack);
  const { kind, says, steps, drawing } = outcome.value as Smallest;
  expect(kind).toBe("repeated");
  expect(steps.after).toBeLessThan(steps.before / 3);
  const lines = drawing.split("\n");
  expect(lines.at(-1)).toContain(says);
  // What the finding is about is in the last thing that is drawn.
  const [, payload] = /("[^"]+")/.exec(says)!;
  expect(lines.at(-2)).toContain(`received on`);
  expect(lines.at(-2)).toContain(payload);
}, 150_000);
