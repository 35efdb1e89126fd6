import { describe, expect, test } from "vitest";
import { GRACE_MS } from "../../../src/core/session/session.ts";
import { SILENCE_MAX_MS, STILL_HERE_MS } from "../../../src/link/ping.ts";
import * as records from "../../../src/link/records.ts";
import type { Fence } from "../../../src/link/records.ts";
import { SessionRig } from "../../support/session-rig.ts";

const { Kind } = records;

describe("epochs", () => {
  test("links: they rise with every CONNECT, across restarts, wipes and a clock that goes back", () => {
    const r = new SessionRig();
    const will = { will: "gone" };
    const epochs = [r.connect(1, will), r.connect(2, will)];
    r.restart();
    epochs.push(r.connect(3, will));
    r.now -= 60_000;
    epochs.push(r.connect(4, will));
    r.end(4, false);
    for (const { epoch } of epochs) r.do(r.session.willPublished(epoch, r.now));
    expect(r.wipes).toBe(1);
    epochs.push(r.connect(5));
    for (let i = 1; i < epochs.length; i++) {
      expect(epochs[i]!.epoch).toBeGreaterThan(epochs[i - 1]!.epoch);
      expect(epochs[i]!.generation).toBeGreaterThan(epochs[i - 1]!.generation);
    }
  });
});

describe("takeover", () => {
  test("[MQTT-3.1.4-3] the old connection is told 0x8E and its link closed", () => {
    const r = new SessionRig();
    r.connect(1);
    r.connect(2);
    expect(r.refused(1)).toBe(0x8e);
    expect(r.closed).toEqual([1]);
    expect(r.welcomed(2)).toBe(true);
  });

  test("[MQTT §3.1.4] its will is published", () => {
    const r = new SessionRig();
    const fence = r.connect(1, { will: "old" });
    r.connect(2, { will: "new" });
    expect(r.willPayloads).toEqual(["old"]);
    expect(r.wills[0]!.of).toMatchObject(fence);
  });

  test("links: a connection that was taken over while its link was lost is refused when it comes back", () => {
    const r = new SessionRig();
    const old = r.connect(1);
    r.lose(1);
    r.connect(2);
    r.connect(3, { reattach: old, link: 2 });
    expect(r.refused(3)).toBe(0x8e);
    expect(r.closed).not.toContain(2);
  });

  test("links: whatever END a connection says that was taken over, the new one stays", () => {
    const r = new SessionRig();
    r.connect(1, { will: "old" });
    r.connect(2, { will: "new" });
    r.end(1, true);
    r.lose(1);
    r.alarm();
    expect(r.willPayloads).toEqual(["old"]);
    expect(r.told.get(1)!.at(-1)!.kind).toBe(Kind.Ended);
    expect(r.closed).toEqual([1]);
    r.end(2, true);
    expect(r.willPayloads).toEqual(["old", "new"]);
  });

  test("[MQTT-3.1.4-3] of racing connections exactly the latest survives, in any order, over a restart", () => {
    for (const order of permutations(["first comes back", "second comes back", "third connects", "restart"])) {
      const r = new SessionRig();
      const fences = new Map<string, Fence>();
      const links = new Map<string, number>();
      const refused = new Set<string>();
      let link = 0;
      const come = (name: string): void => {
        if (refused.has(name)) return;
        r.now += 10;
        const reattach = fences.get(name);
        links.set(name, ++link);
        const fence = r.connect(link, { name, link, ...(reattach && { reattach }) });
        if (r.welcomed(link)) fences.set(name, fence);
        for (const [other, at] of links) if (r.refused(at) !== undefined) refused.add(other);
        for (const [other, at] of links) if (r.closed.includes(at)) links.delete(other);
      };
      come("first");
      r.lose(link);
      links.clear();
      come("second");
      for (const step of order) {
        if (step === "restart") {
          r.restart();
          links.clear();
        } else come(step.split(" ")[0]!);
        expect(links.size, order.join(", ")).toBeLessThanOrEqual(1);
      }
      // Whoever has not been refused and has no link comes back.
      for (const name of fences.keys()) if (!links.has(name)) come(name);
      expect([...links.keys()], order.join(", ")).toEqual(["third"]);
      expect(refused.has("third"), order.join(", ")).toBe(false);
    }
  });

  test("links: a connection whose welcome was lost is known by its name, and takes over nobody", () => {
    const r = new SessionRig();
    const lost = r.connect(1, { name: "one", will: "gone" });
    r.lose(1);
    const again = r.connect(2, { name: "one", link: 2, will: "gone" });
    expect(again).toEqual(lost);
    expect(r.wills).toEqual([]);
  });

  test("links: an older socket of the same connection that comes late is closed, and not the newer one", () => {
    const r = new SessionRig();
    const fence = r.connect(1);
    r.connect(3, { reattach: fence, link: 3 });
    r.connect(2, { reattach: fence, link: 2 });
    expect(r.closed).toEqual([1, 2]);
    expect(r.welcomed(3)).toBe(true);
  });

  test("links: no common version is refused with a code that closes politely", () => {
    const r = new SessionRig();
    r.frame(1, (to) =>
      records.writeConnect(to, {
        versionMin: 2,
        versionMax: 3,
        tenant: "main",
        session: "client",
        connection: "one",
        link: 1,
        cleanStart: true,
        reattach: undefined,
        expirySeconds: 0,
        will: undefined,
        willDelaySeconds: 0,
      }),
    );
    expect(r.refused(1)).toBe(0x8b);
  });
});

describe("a lost link", () => {
  test("links: it may come back within the grace, and its will stays where it is", () => {
    const r = new SessionRig();
    const fence = r.connect(1, { will: "gone" });
    r.lose(1);
    r.advance(GRACE_MS - 1);
    r.connect(2, { reattach: fence, link: 2 });
    r.advance(10 * GRACE_MS);
    expect(r.welcomed(2)).toBe(true);
    expect(r.wills).toEqual([]);
  });

  test("links: after the grace its client counts as gone, and the will is published", () => {
    const r = new SessionRig();
    const fence = r.connect(1, { will: "gone" });
    r.lose(1);
    r.advance(GRACE_MS);
    expect(r.willPayloads).toEqual(["gone"]);
    r.connect(2, { reattach: fence, link: 2 });
    expect(r.refused(2)).toBe(0x8e);
  });

  test("links: a restart is a lost link", () => {
    const r = new SessionRig();
    r.connect(1, { will: "gone" });
    r.restart();
    expect(r.session.alarmAt).toBe(r.now + GRACE_MS);
    r.advance(GRACE_MS);
    expect(r.willPayloads).toEqual(["gone"]);
  });

  test("links: a sleep is not", () => {
    const r = new SessionRig();
    r.connect(1, { will: "gone" });
    r.sleep();
    r.end(1, false);
    expect(r.wills).toEqual([]);
    expect(r.told.get(1)!.at(-1)!.kind).toBe(Kind.Ended);
  });

  test("links: an alarm that rings early, late or twice publishes once", () => {
    const r = new SessionRig();
    r.connect(1, { will: "gone" });
    r.lose(1);
    r.alarm();
    expect(r.wills).toEqual([]);
    r.now += 10 * GRACE_MS;
    r.alarm();
    r.alarm();
    expect(r.wills).toHaveLength(1);
  });
});

describe("a will", () => {
  test("[MQTT-3.14.4-3] END without it drops it", () => {
    const r = new SessionRig();
    r.connect(1, { will: "gone" });
    r.end(1, false);
    expect(r.wills).toEqual([]);
    expect(r.wipes).toBe(1);
    expect(r.tables).toBe(0);
  });

  test("[MQTT-3.1.2-10] it is kept until its shard has it, and then nothing is left", () => {
    const r = new SessionRig();
    const { epoch } = r.connect(1, { will: "gone" });
    r.end(1, true);
    expect(r.wipes).toBe(0);
    r.do(r.session.willPublished(epoch, r.now));
    expect(r.wipes).toBe(1);
    expect(r.tables).toBe(0);
    expect(r.session.alarmAt).toBeUndefined();
  });

  test("links: a shard that fails is asked again, and again after a restart", () => {
    const r = new SessionRig();
    const { epoch } = r.connect(1, { will: "gone" });
    r.end(1, true);
    r.do(r.session.willFailed(epoch, r.now));
    r.alarm();
    expect(r.wills).toHaveLength(1);
    r.advance(11_000);
    expect(r.wills).toHaveLength(2);
    r.restart();
    expect(r.session.alarmAt).toBeDefined();
    r.now += 60_000;
    r.alarm();
    expect(r.wills).toHaveLength(3);
    expect(r.wills[2]!.of.epoch).toBe(epoch);
  });

  test("links: the will of an earlier connection does not hold up the next, nor goes with it", () => {
    const r = new SessionRig();
    const first = r.connect(1, { will: "first" });
    r.end(1, true);
    r.now += 5;
    r.connect(2, { will: "second" });
    r.end(2, false);
    expect(r.wipes).toBe(0);
    r.do(r.session.willPublished(first.epoch, r.now));
    expect(r.wipes).toBe(1);
    expect(r.willPayloads).toEqual(["first"]);
  });

  test("links: a session that has one looks after 12 h whether its connection is still there", () => {
    const r = new SessionRig();
    r.connect(1, { will: "gone" });
    for (let i = 1; i <= 3; i++) {
      r.pings.set(1, r.now + i * STILL_HERE_MS - SILENCE_MAX_MS + 1);
    }
    const last = r.pings.get(1)!;
    while (r.now < last) {
      r.pings.set(1, r.now + STILL_HERE_MS - 60_000);
      r.advance(STILL_HERE_MS);
      expect(r.closed).toEqual([]);
    }
    r.advance(2 * STILL_HERE_MS);
    expect(r.closed).toEqual([1]);
    expect(r.willPayloads).toEqual(["gone"]);
  });

  test("links: an idle session without a will sets no alarm", () => {
    const r = new SessionRig();
    r.connect(1);
    expect(r.session.alarmAt).toBeUndefined();
  });
});

function permutations<T>(of: readonly T[]): T[][] {
  if (of.length <= 1) return [[...of]];
  return of.flatMap((first, at) => permutations(of.toSpliced(at, 1)).map((rest) => [first, ...rest]));
}
