import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Window, type WindowChange } from "../../../src/core/connection/window.ts";

/** A shard's side of the window, with what is on its way between the two in order. */
class Side {
  readonly shard: number;
  readonly up: (() => void)[] = [];
  readonly down: (() => void)[] = [];
  open = false;
  grants = 0;
  hungry = false;
  /** Messages that wait for this client. */
  waiting = 0;
  outstanding = 0;
  served = 0;

  constructor(shard: number) {
    this.shard = shard;
  }
}

class Model {
  readonly window: Window;
  readonly size: number;
  readonly sides: Side[];

  constructor(size: number, shards: number) {
    this.size = size;
    this.window = new Window(size, shards);
    this.sides = Array.from({ length: shards }, (_, shard) => new Side(shard));
  }

  apply(changes: readonly WindowChange[]): void {
    for (const { shard, grant, recall } of changes) {
      const side = this.sides[shard]!;
      expect(side.open).toBe(true);
      side.down.push(() => {
        side.grants += grant;
        if (grant > 0) side.hungry = false;
        this.pump(side);
        if (recall === 0) return;
        const count = Math.min(side.grants, recall);
        side.grants -= count;
        side.up.push(() => this.apply(this.window.returned(shard, count)));
      });
    }
  }

  pump(side: Side): void {
    const count = Math.min(side.waiting, side.grants);
    side.waiting -= count;
    side.grants -= count;
    if (count > 0) {
      side.up.push(() => {
        this.window.delivered(side.shard, count);
        side.outstanding += count;
        side.served += count;
      });
    }
    if (side.waiting === 0 || side.hungry) return;
    side.hungry = true;
    side.up.push(() => this.apply(this.window.hungry(side.shard)));
  }

  attach(side: Side): void {
    side.open = true;
    side.hungry = false;
    side.grants = 0;
    const grants = this.window.open(side.shard);
    side.down.push(() => {
      side.grants = grants;
      this.pump(side);
    });
  }

  drop(side: Side): void {
    // What was on its way up and is lost goes back to what waits.
    side.up.length = 0;
    side.down.length = 0;
    side.open = false;
    this.apply(this.window.close(side.shard));
  }

  acknowledge(side: Side): void {
    if (side.outstanding === 0) return;
    side.outstanding -= 1;
    this.apply(this.window.acknowledged(side.shard));
  }

  /** Moves one thing that is on its way. */
  move(side: Side, up: boolean): boolean {
    const step = (up ? side.up : side.down).shift();
    step?.();
    return step !== undefined;
  }

  check(): void {
    const held = this.sides.reduce((sum, side) => sum + side.grants + side.outstanding, 0);
    expect(held).toBeLessThanOrEqual(this.size);
    expect(this.window.outstanding).toBe(this.sides.reduce((sum, side) => sum + side.outstanding, 0));
  }
}

const event = fc.record({
  type: fc.constantFrom(
    "wait",
    "up",
    "up",
    "up",
    "down",
    "down",
    "down",
    "acknowledge",
    "acknowledge",
    "drop",
    "attach",
  ),
  side: fc.nat(3),
  count: fc.integer({ min: 1, max: 5 }),
});

describe("Window", () => {
  test("links: grants and outstanding messages never exceed the size, whatever happens", () => {
    fc.assert(
      fc.property(fc.constantFrom(1, 2, 3, 4, 10, 100), fc.array(event, { maxLength: 120 }), (size, events) => {
        const model = new Model(size, 4);
        for (const side of model.sides) model.attach(side);
        for (const { type, side: at, count } of events) {
          const side = model.sides[at]!;
          if (type === "wait") {
            side.waiting += count;
            if (side.open && side.down.length === 0) model.pump(side);
          } else if (type === "up" || type === "down") model.move(side, type === "up");
          else if (type === "acknowledge") model.acknowledge(side);
          else if (type === "drop" && side.open) model.drop(side);
          else if (type === "attach" && !side.open) model.attach(side);
          model.check();
        }
      }),
      { numRuns: 500 },
    );
  });

  test("links: everybody is served, also with a Receive Maximum of 1 over four shards", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(1, 2, 3, 5, 8),
        fc.array(fc.nat(6), { minLength: 4, maxLength: 4 }),
        fc.infiniteStream(fc.nat(100)),
        (size, waiting, dice) => {
          const model = new Model(size, 4);
          for (const side of model.sides) {
            side.waiting = waiting[side.shard]!;
            model.attach(side);
          }
          const total = waiting.reduce((a, b) => a + b, 0);
          for (let steps = 0; steps < 5_000; steps++) {
            const die: number = dice.next().value ?? 0;
            const side = model.sides[die % 4]!;
            if (die % 3 === 0) model.acknowledge(side);
            else model.move(side, die % 3 === 1);
            model.check();
            if (model.sides.reduce((sum, { served }) => sum + served, 0) === total) return;
          }
          expect.fail(`not served: ${model.sides.map((side) => side.waiting).join(" ")}`);
        },
      ),
      { numRuns: 100 },
    );
  });

  test("links: a quiet window is divided evenly, and given back as it is acknowledged", () => {
    const window = new Window(10, 4);
    expect([0, 1, 2, 3].map((shard) => window.open(shard))).toEqual([2, 2, 2, 2]);
    window.delivered(0, 2);
    expect(window.outstanding).toBe(2);
    expect(window.acknowledged(0)).toEqual([{ shard: 0, grant: 1, recall: 0 }]);
  });

  test("links: a hungry shard gets what is free, then what others do not use", () => {
    const window = new Window(10, 4);
    for (const shard of [0, 1, 2, 3]) window.open(shard);
    window.delivered(0, 2);
    expect(window.hungry(0)).toEqual([{ shard: 0, grant: 2, recall: 0 }]);
    window.delivered(0, 2);
    expect(window.hungry(0)).toEqual([{ shard: 1, grant: 0, recall: 1 }]);
    expect(window.returned(1, 1)).toEqual([{ shard: 0, grant: 1, recall: 0 }]);
  });

  test("links: the grants of a link die with it, and go to who is hungry", () => {
    const window = new Window(2, 2);
    expect([window.open(0), window.open(1)]).toEqual([1, 1]);
    window.delivered(0, 1);
    expect(window.hungry(0)).toEqual([{ shard: 1, grant: 0, recall: 1 }]);
    expect(window.close(1)).toEqual([{ shard: 0, grant: 1, recall: 0 }]);
    expect(window.open(1)).toBe(0);
  });

  test("links: what the client holds stays outstanding when the link goes, and counts for the next", () => {
    const window = new Window(4, 2);
    expect(window.open(0)).toBe(2);
    window.delivered(0, 2);
    window.close(0);
    expect(window.outstanding).toBe(2);
    expect(window.open(0)).toBe(0);
    window.acknowledged(0);
    window.close(0);
    expect(window.open(0)).toBe(1);
  });
});
