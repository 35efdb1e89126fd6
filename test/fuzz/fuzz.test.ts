/**
 * A short hunt with seeds that stay, and everything that longer ones have found. `npm run fuzz` does it for longer and with
 * other seeds; docs/fuzzing.md says what is looked for.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Random } from "../support/random.ts";
import { assemble, packet, type Part } from "./grammar.ts";
import { attempt, explore, type Mode, report } from "./hunt.ts";
import { OFFENCES } from "./mutate.ts";
import { type BytesStep, parse, print, script, shrink } from "./script.ts";
import { SOLO } from "./solo.ts";

const corpus = join(import.meta.dirname, "corpus");

function hunt(mode: Mode, seed: number, scripts: number): { packets: number; answers: number } {
  const tally = { packets: 0, answers: 0, connections: 0 };
  for (let number = 0; number < scripts; number++) {
    const failure = explore(mode, seed + number, tally);
    if (failure) expect.fail(report(mode, failure));
  }
  return tally;
}

describe("hostile bytes", () => {
  test("one connection survives them (seeds 1 to 2000)", { timeout: 60_000 }, () => {
    const { packets, answers } = hunt("solo", 1, 2000);
    // It is not that nobody gets in.
    expect(packets).toBeGreaterThan(20_000);
    expect(answers).toBeGreaterThan(10_000);
  });

  test(
    "the whole broker survives them, and its other clients notice nothing (seeds 1 to 100)",
    { timeout: 60_000 },
    () => {
      const { packets, answers } = hunt("crowd", 1, 100);
      expect(packets).toBeGreaterThan(2_000);
      expect(answers).toBeGreaterThan(1_000);
    },
  );

  test.each(readdirSync(corpus).filter((file) => file.endsWith(".txt")))("once failed and does no more: %s", (file) => {
    const mode = file.startsWith("crowd") ? "crowd" : "solo";
    expect(attempt(mode, parse(readFileSync(join(corpus, file), "utf8")))).toBeUndefined();
  });
});

describe("what must be refused", () => {
  const offences = Object.keys(OFFENCES);
  test.each(offences)("%s ends the connection, in whatever packet and version", (what) => {
    const random = new Random(offences.indexOf(what));
    let made = 0;
    for (let count = 0; count < 400; count++) {
      const version = random.of([3, 4, 5] as const);
      const bytes = OFFENCES[what]!(packet(random, version), random, version);
      if (!bytes) continue;
      made += 1;
      const connect = { ...plainConnect(version), offence: undefined };
      const one = { chance: count, steps: [connect, { ...connect, packets: [bytes], offence: what }] };
      const failure = attempt("solo", one);
      if (failure !== undefined) expect.fail(`${failure}\n${print(one)}`);
    }
    expect(made).toBeGreaterThan(10);
  });
});

function plainConnect(version: 3 | 4 | 5): BytesStep {
  const parts: Part[] = [
    { kind: "string", bytes: [...Buffer.from(version === 3 ? "MQIsdp" : "MQTT")] },
    { kind: "fixed", bytes: [version, 2, 0, 0] },
    ...(version === 5 ? [{ kind: "properties" as const, items: [] }] : []),
    { kind: "string", bytes: [0x63] },
  ];
  return { type: "bytes", client: 0, packets: [assemble({ first: 0x10, parts })], cuts: [] };
}

describe("the fuzzer", () => {
  test("does the same again with the same seed", () => {
    const twice = [0, 1].map(() => {
      const tally = { packets: 0, answers: 0, connections: 0 };
      for (const mode of ["solo", "crowd"] as const) {
        for (let seed = 7; seed < 12; seed++) explore(mode, seed, tally);
      }
      return tally;
    });
    expect(twice[0]).toEqual(twice[1]);
  });

  test("reads what it prints", () => {
    for (let seed = 1; seed < 50; seed++) {
      const one = script(seed, SOLO);
      expect(print(parse(print(one)))).toBe(print(one));
    }
  });

  test("knows each offence in some packet", () => {
    const random = new Random(1);
    const made = new Set<string>();
    for (let count = 0; count < 2000; count++) {
      for (const [what, offend] of Object.entries(OFFENCES)) {
        if (offend(packet(random, 5), random, 5)) made.add(what);
      }
    }
    expect([...made].sort()).toEqual(Object.keys(OFFENCES).sort());
  });

  test("shrinks a script to the packets that matter", () => {
    const whole = script(11, { ...SOLO, steps: 400 });
    const pings = (candidate: typeof whole): boolean =>
      candidate.steps.some(
        (step) => step.type === "bytes" && step.packets.some((one) => Buffer.from(one).toString("hex") === "c000"),
      );
    expect(pings(whole)).toBe(true);
    const small = shrink(whole, pings);
    expect(small.steps).toMatchObject([{ packets: [Uint8Array.of(0xc0, 0)], cuts: [] }]);
  });
});
