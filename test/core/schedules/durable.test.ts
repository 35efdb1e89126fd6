import { expect, test } from "vitest";
import { Durable } from "../../support/durable/durable.ts";

const SEEDS = Number(process.env["DURABLE_SEEDS"] ?? 200);
const FIRST = Number(process.env["DURABLE_FIRST"] ?? 1);

test(`sessions outlive everything but their expiry (${SEEDS} seeds from ${FIRST})`, { timeout: 600_000 }, () => {
  for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
    const durable = new Durable(seed);
    try {
      durable.run();
    } catch (error) {
      const { message, stack } = error as Error;
      expect.fail(`seed ${seed}: ${stack}\n${durable.history.lines(message).join("\n")}`);
    }
  }
});
