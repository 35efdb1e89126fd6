import fc from "fast-check";
import { expect, test } from "vitest";
import { Agenda, Entry } from "./agenda.ts";
import type { Happening } from "./step.ts";

class Thing extends Entry {
  happen(): void {}

  tell(): Happening {
    return { from: "", to: "", what: "" };
  }
}

test("what is due comes in the order of its time and then of its sequence, however often it was moved", () => {
  const move = fc.record({
    which: fc.nat(19),
    at: fc.oneof(fc.nat(9), fc.constant(Infinity)),
  });
  fc.assert(
    fc.property(fc.array(move, { maxLength: 200 }), fc.nat(9), (moves, now) => {
      const agenda = new Agenda();
      const things = Array.from({ length: 20 }, (_, sequence) => new Thing(sequence));
      for (const { which, at } of moves) {
        things[which]!.at = at;
        agenda.put(things[which]!);
      }
      const planned = things
        .filter(({ at }) => at !== Infinity)
        .toSorted((a, b) => a.at - b.at || a.sequence - b.sequence);
      expect(agenda.size).toBe(planned.length);
      expect(agenda.next).toBe(planned[0]);
      expect([...agenda.ready(now)]).toEqual(planned.filter(({ at }) => at <= now));
    }),
  );
});
