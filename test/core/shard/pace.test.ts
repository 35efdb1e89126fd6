import { describe, expect, test } from "vitest";
import { WIDE_LINKS } from "../../../src/core/shard/pace.ts";
import { Kind, writeEchoed } from "../../../src/link/records.ts";
import { body, ShardRig } from "../../support/shard-rig.ts";

const PUBLISHER = 1;

/** A publisher, and so many subscribers of `t` at QoS 0 on the links from 2 on. */
function fan(subscribers: number): ShardRig {
  const r = new ShardRig();
  r.hello(PUBLISHER, "publisher");
  for (let link = 2; link < subscribers + 2; link++) {
    r.hello(link, `subscriber-${link}`);
    r.subscribe(link, "t", { qos: 0 });
    r.take(link);
  }
  r.advance(5_000);
  r.take(PUBLISHER);
  return r;
}

/** The link that was asked to echo. */
function asked(r: ShardRig, subscribers: number): number[] {
  const links = Array.from({ length: subscribers }, (_, i) => i + 2);
  return links.filter((link) => r.kinds(link).includes(Kind.Echo));
}

describe("a fan-out", () => {
  test("links: a narrow one is credited at once, and asks nobody", () => {
    const r = fan(WIDE_LINKS - 2);
    r.publish(PUBLISHER, body("t", "x", { qos: 0 }));
    expect(r.kinds(PUBLISHER)).toEqual([Kind.Taken]);
    expect(asked(r, WIDE_LINKS - 2)).toEqual([]);
  });

  test("links: a wide one asks one link, and is credited when that link has echoed", () => {
    const r = fan(WIDE_LINKS);
    r.publish(PUBLISHER, body("t", "x", { qos: 0 }));
    expect(r.kinds(PUBLISHER)).toEqual([]);
    const [link, ...others] = asked(r, WIDE_LINKS);
    expect(others).toEqual([]);
    r.frame(link!, writeEchoed);
    expect(r.kinds(PUBLISHER)).toEqual([Kind.Taken]);
  });

  test("links: a QoS 1 publish of a wide one is answered at once, and only its credit waits", () => {
    const r = fan(WIDE_LINKS);
    r.publish(PUBLISHER, body("t"));
    expect(r.kinds(PUBLISHER)).toEqual([Kind.Published]);
  });

  test("links: no echo holds a publisher only so long", () => {
    const r = fan(WIDE_LINKS);
    r.publish(PUBLISHER, body("t", "x", { qos: 0 }));
    r.advance(1);
    expect(r.kinds(PUBLISHER)).toEqual([Kind.Taken]);
  });

  test("links: the credit does not wait for a link that is gone", () => {
    const r = fan(WIDE_LINKS);
    r.publish(PUBLISHER, body("t", "x", { qos: 0 }));
    r.lose(asked(r, WIDE_LINKS)[0]!);
    expect(r.kinds(PUBLISHER)).toEqual([Kind.Taken]);
  });

  test("links: after an echo that took long, what it set off may arrive as well", () => {
    const r = fan(1_000);
    r.publish(PUBLISHER, body("t", "x", { qos: 0 }));
    const [link] = asked(r, 1_000);
    r.now += 15;
    r.frame(link!, writeEchoed);
    expect(r.kinds(PUBLISHER)).toEqual([]);
    r.advance(1);
    expect(r.kinds(PUBLISHER)).toEqual([Kind.Taken]);
  });

  test("links: subscribers are credited for what they say while publishers wait", () => {
    const r = fan(WIDE_LINKS);
    r.publish(PUBLISHER, body("t", "x", { qos: 0 }));
    r.take(5);
    r.subscribe(5, "other");
    expect(r.kinds(5)).toContain(Kind.Taken);
  });
});
