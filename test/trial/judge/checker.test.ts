/** The checker sees each kind of broken promise in a history that breaks that one, and nothing in one that breaks none. */
import { describe, expect, test } from "vitest";
import { matches } from "../matches.ts";
import { check, owed } from "./checker.ts";
import { type Filter, NEVER, type Happening, type HistoryEvent, type Qos, type Will } from "../history.ts";

/** Writes a history by hand, one millisecond an event unless told otherwise. */
class Story {
  readonly events: HistoryEvent[] = [];
  #at = 0;
  #connections = 0;
  readonly #connection = new Map<string, number>();

  tell(client: string, happening: Record<string, unknown> & { type: string }): this {
    this.#at += 1;
    const event = { at: this.#at, client, connection: this.#connection.get(client) ?? 0, ...happening };
    this.events.push(event as unknown as HistoryEvent);
    return this;
  }

  later(ms: number): this {
    this.#at += ms;
    return this;
  }

  connect(client: string, options: Partial<Happening & { type: "connect" }> = {}): this {
    this.#connection.set(client, ++this.#connections);
    const defaults = { cleanStart: false, expirySeconds: NEVER, receiveMaximum: 65_535 };
    return this.tell(client, { type: "connect", ...defaults, ...options });
  }

  connected(client: string, sessionPresent: boolean, options: Parameters<Story["connect"]>[1] = {}): this {
    return this.connect(client, options).tell(client, { type: "connected", sessionPresent });
  }

  closed(client: string): this {
    return this.tell(client, { type: "closed", by: "client" });
  }

  subscribed(client: string, filter: string, qos: Qos = 2, options: Partial<Filter> = {}): this {
    this.tell(client, { type: "subscribe", packetId: 1, filters: [{ filter, qos, ...options }] });
    return this.tell(client, { type: "subscribed", packetId: 1, granted: [qos] });
  }

  /** `p` sends it. */
  sends(
    payload: string,
    publish: Partial<{ topic: string; qos: Qos; retain: boolean; dup: boolean; id: number }> = {},
  ): this {
    const { topic = "t", qos = 2, retain = false, dup = false, id = 1 } = publish;
    return this.tell("p", { type: "publish", topic, payload, qos, retain, dup, packetId: qos === 0 ? 0 : id });
  }

  acknowledged(by: "puback" | "pubrec" | "pubcomp", id = 1): this {
    if (by === "pubcomp") this.tell("p", { type: "release", packetId: id });
    return this.tell("p", { type: "acknowledged", packetId: id, by, reason: 0 });
  }

  /** `p` sends it, and the broker takes it. */
  published(payload: string, publish: Parameters<Story["sends"]>[1] = {}): this {
    const { qos = 2, id = 1 } = publish;
    this.sends(payload, publish);
    if (qos === 1) this.acknowledged("puback", id);
    if (qos === 2) this.acknowledged("pubrec", id).acknowledged("pubcomp", id);
    return this;
  }

  received(
    client: string,
    payload: string,
    publish: Partial<{
      topic: string;
      qos: Qos;
      retain: boolean;
      dup: boolean;
      id: number;
      identifiers: number[];
    }> = {},
  ): this {
    const { topic = "t", qos = 2, retain = false, dup = false, id = 7, ...more } = publish;
    const packetId = qos === 0 ? 0 : id;
    return this.tell(client, { type: "received", topic, payload, qos, retain, dup, packetId, ...more });
  }

  /** It comes, and everything is said about it. */
  delivered(client: string, payload: string, publish: Parameters<Story["received"]>[2] = {}): this {
    const { qos = 2, id = 7 } = publish;
    this.received(client, payload, publish);
    if (qos === 1) this.answered(client, "puback", id);
    if (qos === 2) this.answered(client, "pubrec", id).released(client, id);
    return this;
  }

  answered(client: string, by: "puback" | "pubrec" | "pubcomp", id = 7): this {
    return this.tell(client, { type: "answered", packetId: id, by });
  }

  refused(client: string, by: "puback" | "pubrec", id = 7): this {
    return this.tell(client, { type: "answered", packetId: id, by, reason: 0x97 });
  }

  /** Leaves the group or gives up another filter. */
  unsubscribed(client: string, filter: string): this {
    this.tell(client, { type: "unsubscribe", packetId: 2, filters: [filter] });
    return this.tell(client, { type: "unsubscribed", packetId: 2, granted: [0] });
  }

  released(client: string, id = 7): this {
    return this.tell(client, { type: "released", packetId: id }).answered(client, "pubcomp", id);
  }

  fault(forgets: boolean): this {
    this.#at += 1;
    this.events.push({ at: this.#at, type: "fault", fault: "kill", object: "workerd", forgets });
    return this;
  }

  kept(topic: string, payload: string): this {
    this.#at += 1;
    this.events.push({ at: this.#at, type: "kept", topic, payload });
    return this;
  }
}

/** `p` publishes and `s` subscribes with `t`, both with sessions that last. */
function pair(qos: Qos = 2): Story {
  return new Story().connected("p", false).connected("s", false).subscribed("s", "t", qos);
}

function rules({ events }: Story): string[] {
  return check(events).map(({ rule }) => rule);
}

const REFUSED = { type: "acknowledged", packetId: 1, by: "puback", reason: 0x97 };

const will = (payload: string, delaySeconds = 0): Will => ({ topic: "w", payload, qos: 2, delaySeconds });

test("filters match as they should", () => {
  const cases: [string, string, boolean][] = [
    ["a/b", "a/b", true],
    ["a/+", "a/b", true],
    ["a/+", "a/b/c", false],
    ["a/#", "a", true],
    ["a/#", "a/b/c", true],
    ["#", "a/b", true],
    ["+/b", "a/b", true],
    ["a/b/c", "a/b", false],
    ["a", "a/b", false],
  ];
  for (const [filter, topic, does] of cases)
    expect([filter, topic, matches(filter, topic)]).toEqual([filter, topic, does]);
});

describe("lost", () => {
  test("an acknowledged message that never comes to a session that is there", () => {
    expect(rules(pair().published("m"))).toEqual(["lost"]);
    expect(rules(pair(1).published("m", { qos: 1 }))).toEqual(["lost"]);
    expect(owed(pair().published("m").events)).toHaveLength(1);
  });

  test("one that comes after its subscriber has been away is not", () => {
    const away = pair().closed("s").published("m");
    expect(rules(away)).toEqual([]);
    expect(rules(away.connected("s", true))).toEqual(["lost"]);
    expect(rules(away.delivered("s", "m"))).toEqual([]);
  });

  test("what was not acknowledged, is QoS 0, or is wanted at QoS 0 may be", () => {
    expect(rules(pair().sends("m"))).toEqual([]);
    expect(rules(pair().published("m", { qos: 0 }))).toEqual([]);
    expect(rules(pair(0).published("m"))).toEqual([]);
  });

  test("what was sent before SUBACK, or whose subscription was given up, may be", () => {
    const early = new Story().connected("p", false).connected("s", false).published("m").subscribed("s", "t");
    expect(rules(early)).toEqual([]);
    expect(
      rules(
        pair()
          .published("m")
          .tell("s", { type: "unsubscribe", packetId: 2, filters: ["t"] }),
      ),
    ).toEqual([]);
  });

  test("a gap that a clean session leaves behind", () => {
    const clean = new Story().connected("p", false).connected("s", false, { cleanStart: true, expirySeconds: 0 });
    clean.subscribed("s", "t").published("m").published("n").delivered("s", "n").closed("s");
    expect(rules(clean)).toEqual(["lost"]);
    const end = new Story().connected("p", false).connected("s", false, { cleanStart: true, expirySeconds: 0 });
    expect(rules(end.subscribed("s", "t").published("m").delivered("s", "m").published("n").closed("s"))).toEqual([]);
  });
});

describe("limits", () => {
  const reports = (story: Story, messages: number): Story => {
    story.events.push({ at: 0, type: "dropped", object: "shard 0", why: "queue limit", messages });
    return story;
  };

  test("as many messages may be lost as are reported, and no more", () => {
    expect(rules(reports(pair().published("m"), 1))).toEqual([]);
    expect(rules(reports(pair().published("m").published("n"), 1))).toEqual(["lost"]);
    expect(owed(reports(pair().published("m"), 1).events)).toEqual([]);
  });

  test("what was refused never comes, unless it was sent before", () => {
    const refused = (): Story => pair(1).sends("m", { qos: 1 }).tell("p", REFUSED);
    expect(rules(refused())).toEqual([]);
    expect(rules(refused().delivered("s", "m", { qos: 1 }))).toEqual(["unsent"]);
    const again = pair(1).sends("m", { qos: 1 }).closed("p").connected("p", true).sends("m", { qos: 1, dup: true });
    expect(rules(again.tell("p", REFUSED).delivered("s", "m", { qos: 1 }))).toEqual([]);
  });
});

describe("repeated", () => {
  test("a QoS 2 message that comes under another id", () => {
    expect(rules(pair().published("m").delivered("s", "m").delivered("s", "m", { id: 8 }))).toEqual(["repeated"]);
  });

  test("a QoS 2 message that its publisher repeated, with the publisher's id taken for a new one", () => {
    const repeated = pair().sends("m").delivered("s", "m").closed("p").connected("p", true);
    repeated.sends("m", { dup: true }).acknowledged("pubrec").acknowledged("pubcomp");
    expect(rules(repeated)).toEqual([]);
    expect(rules(repeated.delivered("s", "m", { id: 8 }))).toEqual(["repeated"]);
  });

  test("a QoS 0 message, and one that an old session's end let through twice", () => {
    const twice = pair().sends("m", { qos: 0 }).received("s", "m", { qos: 0 });
    expect(rules(twice)).toEqual([]);
    expect(rules(twice.received("s", "m", { qos: 0 }))).toEqual(["repeated"]);
  });

  test("a QoS 2 message that is sent again under its id is one delivery, before PUBREL; QoS 1 comes once in peace", () => {
    const again = pair().published("m").received("s", "m").closed("s").connected("s", true);
    expect(rules(again.received("s", "m", { dup: true }).answered("s", "pubrec").released("s"))).toEqual([]);
    expect(rules(again.received("s", "m", { dup: true }))).toEqual(["repeated"]);
    const twice = (story: Story): Story => {
      story.published("m", { qos: 1 }).delivered("s", "m", { qos: 1 });
      return story.delivered("s", "m", { qos: 1, id: 8 });
    };
    expect(rules(twice(pair(1)))).toEqual(["repeated"]);
    expect(rules(twice(pair(1).fault(false)))).toEqual([]);
  });

  test("a retained QoS 2 message comes once per SUBSCRIBE", () => {
    const kept = new Story().connected("p", false).published("m", { retain: true });
    kept.connected("s", false).subscribed("s", "t").delivered("s", "m", { retain: true });
    expect(rules(kept)).toEqual([]);
    expect(rules(kept.delivered("s", "m", { retain: true }))).toEqual(["repeated"]);
  });
});

describe("order", () => {
  test("of one publisher, topic and QoS", () => {
    const two = (): Story => pair().published("m").published("n");
    expect(rules(two().delivered("s", "m").delivered("s", "n"))).toEqual([]);
    expect(rules(two().delivered("s", "n").delivered("s", "m"))).toEqual(["order"]);
    const repeated = pair(1).fault(false).published("m", { qos: 1 }).published("n", { qos: 1 });
    for (const payload of ["m", "n", "m", "n"]) repeated.delivered("s", payload, { qos: 1 });
    expect(rules(repeated)).toEqual([]);
  });

  test("is not for who subscribed between a message and its repetition", () => {
    const story = new Story().connected("p", false).connected("s", false).sends("m", { qos: 1 });
    story.subscribed("s", "t", 1).sends("n", { qos: 1, id: 2 }).delivered("s", "n", { qos: 1 });
    story.connected("p", true).sends("m", { qos: 1, dup: true }).acknowledged("puback");
    expect(rules(story.delivered("s", "m", { qos: 1 }))).toEqual([]);
  });

  test("of different QoS there is none", () => {
    expect(
      rules(pair().published("m").published("n", { qos: 1 }).delivered("s", "n", { qos: 1 }).delivered("s", "m")),
    ).toEqual([]);
  });
});

describe("unsent and uninvited", () => {
  test("a payload that nobody sent, or on another topic, or above its QoS, or as retained", () => {
    expect(rules(pair().received("s", "m"))).toEqual(["unsent"]);
    expect(rules(pair().sends("m", { topic: "u" }).received("s", "m"))).toEqual(["unsent"]);
    expect(rules(pair().sends("m", { qos: 1 }).received("s", "m"))).toEqual(["terms"]);
    expect(rules(pair().sends("m").received("s", "m", { retain: true }))).toEqual(["unsent"]);
  });

  test("what no subscription asks for", () => {
    expect(rules(pair().sends("m", { topic: "u" }).received("s", "m", { topic: "u" }))).toEqual(["uninvited"]);
    const left = pair().tell("s", { type: "unsubscribe", packetId: 2, filters: ["t"] });
    left.tell("s", { type: "unsubscribed", packetId: 2, granted: [0] });
    expect(rules(left.sends("m").received("s", "m"))).toEqual(["uninvited"]);
  });

  test("what was over before the session began", () => {
    const renewed = pair().published("m").delivered("s", "m").connected("s", false, { cleanStart: true });
    renewed.subscribed("s", "t");
    expect(rules(renewed)).toEqual([]);
    expect(rules(renewed.received("s", "m"))).toEqual(["uninvited"]);
  });
});

describe("retained", () => {
  const set = (...payloads: string[]): Story => {
    const story = new Story().connected("p", false);
    for (const payload of payloads) story.published(payload, { retain: true, qos: 1 });
    return story;
  };

  test("the last acknowledged one is kept, or none after a clearing", () => {
    expect(rules(set("m", "n").kept("t", "n"))).toEqual([]);
    expect(rules(set("m", "n").kept("t", "m"))).toEqual(["retained"]);
    expect(rules(set("m", "n").kept("t", ""))).toEqual(["retained"]);
    expect(rules(set("m", "").kept("t", ""))).toEqual([]);
    expect(rules(set("m", "").kept("t", "m"))).toEqual(["retained"]);
    expect(rules(set().kept("t", "m"))).toEqual(["retained"]);
  });

  test("one that is not acknowledged, or is QoS 0, may be kept or not", () => {
    for (const kept of ["m", "n"]) {
      expect(rules(set("m").sends("n", { retain: true, qos: 1 }).kept("t", kept))).toEqual([]);
      expect(rules(set("m").sends("n", { retain: true, qos: 0 }).kept("t", kept))).toEqual([]);
    }
  });

  test("the last one of a connection is kept, whatever its QoS", () => {
    const first = (): Story => new Story().connected("p", false).sends("m", { retain: true });
    const both = (story: Story): Story =>
      story.published("n", { retain: true, qos: 1, id: 2 }).acknowledged("pubrec").acknowledged("pubcomp");
    expect(rules(both(first()).kept("t", "n"))).toEqual([]);
    expect(rules(both(first()).kept("t", "m"))).toEqual(["retained"]);
  });

  test("what is sent after SUBACK comes live", () => {
    const early = set("m").connected("s", false).subscribed("s", "t").delivered("s", "m", { qos: 1, retain: true });
    expect(rules(early)).toEqual([]);
    const late = pair().published("m", { retain: true });
    expect(rules(late.delivered("s", "m", { retain: true }))).toEqual(["terms"]);
  });

  test("a subscriber is not given what was replaced before it asked", () => {
    const story = set("m", "n").connected("s", false).subscribed("s", "t");
    // And the other one never came.
    expect(rules(story.received("s", "m", { qos: 1, retain: true }))).toEqual(["retained", "retained"]);
  });
});

describe("wills", () => {
  const witness = (): Story => new Story().connected("s", false).subscribed("s", "w");

  test("one for each abnormal end", () => {
    const story = witness().connected("c", false, { will: will("a") });
    expect(rules(story)).toEqual([]);
    story.closed("c");
    expect(rules(story)).toEqual(["will lost"]);
    expect(owed(story.events)).toHaveLength(1);
    story.delivered("s", "a", { topic: "w" });
    expect(rules(story)).toEqual([]);
    expect(rules(story.delivered("s", "a", { topic: "w", id: 8 }))).toEqual(["repeated"]);
  });

  test("one for a connection that was taken over, and for DISCONNECT with will", () => {
    expect(
      rules(
        witness()
          .connected("c", false, { will: will("a") })
          .connected("c", true),
      ),
    ).toEqual(["will lost"]);
    const disconnected = witness().connected("c", false, { will: will("a") });
    expect(rules(disconnected.tell("c", { type: "disconnect", reason: 4 }).closed("c"))).toEqual(["will lost"]);
  });

  test("none for DISCONNECT 0, unless whoever knew of it died", () => {
    const left = (): Story =>
      witness()
        .connected("c", false, { will: will("a") })
        .tell("c", { type: "disconnect", reason: 0 })
        .closed("c");
    expect(rules(left())).toEqual([]);
    expect(rules(left().received("s", "a", { topic: "w" }))).toEqual(["will unwanted"]);
    expect(rules(left().fault(false).received("s", "a", { topic: "w" }))).toEqual(["will unwanted"]);
    expect(rules(left().fault(true).fault(true).received("s", "a", { topic: "w" }))).toEqual([]);
    expect(rules(left().later(60_000).fault(true).received("s", "a", { topic: "w" }))).toEqual(["will unwanted"]);
  });

  test("none while the connection lives, and in doubt where CONNACK never came", () => {
    const living = witness().connected("c", false, { will: will("a") });
    expect(rules(living.received("s", "a", { topic: "w" }))).toEqual(["will unwanted"]);
    const doubtful = witness()
      .connect("c", { will: will("a") })
      .closed("c");
    expect(rules(doubtful)).toEqual([]);
    expect(rules(doubtful.delivered("s", "a", { topic: "w" }))).toEqual([]);
  });

  test("in doubt where the session may have been resumed, and timed from DISCONNECT if its end was not heard", () => {
    const ended = (): Story =>
      witness()
        .connected("c", false, { will: will("a", 10) })
        .tell("c", { type: "disconnect", reason: 4 });
    const unanswered = ended().closed("c").connect("c").closed("c");
    expect(rules(unanswered.connected("c", false, { cleanStart: true }))).toEqual([]);
    const unheard = ended().later(30_000).delivered("s", "a", { topic: "w" });
    expect(rules(unheard.connected("c", true))).toEqual([]);
  });

  test("none when its session is resumed within the delay, one when it is later or ended", () => {
    const ended = (): Story =>
      witness()
        .connected("c", false, { will: will("a", 10) })
        .closed("c");
    expect(rules(ended().connected("c", true))).toEqual([]);
    expect(rules(ended().connected("c", true).received("s", "a", { topic: "w" }))).toEqual(["will unwanted"]);
    expect(rules(ended().later(60_000).connected("c", true))).toEqual(["will lost"]);
    expect(rules(ended().connected("c", false, { cleanStart: true }))).toEqual(["will lost"]);
  });
  test("one when it is due before its client, that has said DISCONNECT and not waited, is back", () => {
    const story = witness()
      .connected("c", false, { will: will("a", 10) })
      .tell("c", { type: "disconnect", reason: 4 })
      .later(11_000)
      .connected("c", true);
    expect(rules(story.received("s", "a", { topic: "w" }))).toEqual([]);
  });

  test("perhaps one, if its end went over a dead link, and the socket is not closed by then", () => {
    const ended = witness()
      .connected("c", false, { will: will("a", 1) })
      .tell("c", { type: "disconnect", reason: 4 });
    expect(rules(ended.later(10_000).connected("c", true))).toEqual([]);
    const closed = witness()
      .connected("c", false, { will: will("a", 1) })
      .tell("c", { type: "disconnect", reason: 4 })
      .closed("c");
    expect(rules(closed.later(10_000).connected("c", true))).toEqual(["will lost"]);
  });

  test("perhaps one, where connections came between that were not answered", () => {
    const story = (): Story =>
      witness()
        .connected("c", false, { will: will("a", 10) })
        .closed("c")
        .connect("c")
        .closed("c")
        .connected("c", false, { cleanStart: true });
    expect(rules(story())).toEqual([]);
    expect(rules(story().received("s", "a", { topic: "w" }))).toEqual([]);
  });

  test("not before its delay, or the session, is over", () => {
    const ended = (options: { expirySeconds?: number } = {}): Story =>
      witness()
        .connected("c", false, { will: will("a", 100), ...options })
        .closed("c");
    const comes = (story: Story): Story => story.received("s", "a", { topic: "w" });
    expect(rules(comes(ended().later(50_000)))).toEqual(["will unwanted"]);
    expect(rules(comes(ended().later(100_000)))).toEqual([]);
    expect(rules(comes(ended({ expirySeconds: 10 }).later(10_000)))).toEqual([]);
    expect(rules(comes(ended().connected("c", false, { cleanStart: true })))).toEqual([]);
  });
});

describe("closed", () => {
  const thrownOut = (story: Story, detail: string): Story => story.tell("c", { type: "closed", by: "broker", detail });

  test("not without a reason", () => {
    const one = (): Story => new Story().connected("c", false);
    expect(rules(thrownOut(one(), "DISCONNECT 0x8e 1008"))).toEqual(["closed"]);
    expect(rules(thrownOut(one(), "1011"))).toEqual(["closed"]);
    expect(rules(thrownOut(one(), "1006"))).toEqual([]);
    // It has no other answer to an UNSUBSCRIBE that takes too long.
    expect(rules(thrownOut(new Story().connected("c", false, { version: 4 }), "1013"))).toEqual([]);
    const goodbye = one().tell("c", { type: "disconnect", reason: 0 });
    expect(rules(thrownOut(goodbye, "after DISCONNECT"))).toEqual([]);
  });

  test("taken over only by a connection that may have come later", () => {
    const raced = new Story().connect("c").connected("c", false);
    expect(rules(thrownOut(raced, "DISCONNECT 0x8e 1008"))).toEqual([]);
    const later = new Story().connected("c", false).connected("c", true);
    expect(rules(thrownOut(later, "DISCONNECT 0x8e 1008"))).toEqual(["closed"]);
  });

  test("nobody is refused", () => {
    expect(rules(new Story().connect("c").tell("c", { type: "refused", reason: 0x88 }))).toEqual(["closed"]);
  });
});

describe("QoS 0", () => {
  const inside = (): Story =>
    pair(0).connected("x", false).tell("x", { type: "over" }).later(30_000).sends("m", { qos: 0 });

  test("comes where nothing is done to anybody", () => {
    expect(rules(inside().later(3_000).connected("y", false))).toEqual(["lost"]);
    expect(rules(inside().received("s", "m", { qos: 0 }).later(3_000).connected("y", false))).toEqual([]);
  });

  test("may be lost by whatever happens, and where nobody looks inside", () => {
    expect(rules(inside().fault(false).later(3_000).connected("y", false))).toEqual([]);
    const outside = pair(0).later(30_000).sends("m", { qos: 0 });
    expect(rules(outside.later(3_000).connected("y", false))).toEqual([]);
  });
});

describe("session present", () => {
  const session = (): Story => new Story().connected("c", false).closed("c");

  test("1 where there is a session", () => {
    expect(rules(session().connected("c", true))).toEqual([]);
    expect(rules(session().connected("c", false))).toEqual(["session present"]);
    expect(rules(session().connect("c").connected("c", false))).toEqual(["session present"]);
  });

  test("0 after DISCONNECT with expiry 0", () => {
    const ended = (): Story =>
      new Story().connected("c", false).tell("c", { type: "disconnect", reason: 0, expirySeconds: 0 });
    expect(rules(ended().closed("c").connected("c", false))).toEqual([]);
    expect(rules(ended().closed("c").connected("c", true))).toEqual(["session present"]);
  });

  test("0 when it has expired since the broker was through with its last connection", () => {
    const expiring = (ms: number): Story => {
      const story = new Story().connected("c", false, { expirySeconds: 10 }).closed("c");
      return story.tell("c", { type: "over" }).later(ms);
    };
    expect(rules(expiring(20_000).connected("c", true, { expirySeconds: 10 }))).toEqual(["session present"]);
    expect(rules(expiring(20_000).connected("c", false, { expirySeconds: 10 }))).toEqual([]);
    expect(rules(expiring(5_000).connected("c", true, { expirySeconds: 10 }))).toEqual([]);
    const asked = expiring(5_000).connect("c", { expirySeconds: 10 }).closed("c").later(15_000);
    expect(rules(asked.connected("c", true, { expirySeconds: 10 }))).toEqual([]);
  });

  test("0 where there is none, and after a clean start", () => {
    expect(rules(new Story().connected("c", true))).toEqual(["session present"]);
    expect(rules(session().connected("c", true, { cleanStart: true }))).toEqual(["session present"]);
  });

  test("in doubt after a CONNECT that was not answered, near the expiry, and after an end that was asked for", () => {
    for (const present of [true, false]) {
      expect(rules(new Story().connect("c").closed("c").connected("c", present))).toEqual([]);
      const expiring = new Story().connected("c", false, { expirySeconds: 10 }).closed("c").later(20_000);
      expect(rules(expiring.connected("c", present, { expirySeconds: 10 }))).toEqual([]);
      const ended = new Story().connected("c", false).tell("c", { type: "disconnect", reason: 0, expirySeconds: 0 });
      expect(rules(ended.connected("c", present))).toEqual([]);
      const died = new Story().connected("c", false).tell("c", { type: "disconnect", reason: 0, expirySeconds: 0 });
      expect(rules(died.closed("c").fault(true).connected("c", present))).toEqual([]);
    }
    const early = new Story().connected("c", false, { expirySeconds: 10 }).closed("c").later(5000);
    expect(rules(early.connected("c", false, { expirySeconds: 10 }))).toEqual(["session present"]);
  });
});

describe("packets", () => {
  test("no two messages under one id", () => {
    const one = (): Story =>
      pair(1).sends("m", { qos: 1 }).sends("n", { qos: 1, id: 2 }).received("s", "m", { qos: 1 });
    expect(rules(one().answered("s", "puback").received("s", "n", { qos: 1 }))).toEqual([]);
    expect(rules(one().received("s", "n", { qos: 1 }))).toEqual(["packet id"]);
  });

  test("a QoS 2 id is taken until PUBREL, across connections", () => {
    const story = pair().sends("m").sends("n", { id: 2 }).received("s", "m").closed("s").connected("s", true);
    expect(rules(story.received("s", "n"))).toEqual(["packet id"]);
  });

  test("no more than Receive Maximum at a time, QoS 2 until PUBCOMP", () => {
    const story = new Story().connected("p", false).connected("s", false, { receiveMaximum: 1 }).subscribed("s", "t");
    story.sends("m").sends("n", { id: 2 }).received("s", "m").answered("s", "pubrec");
    expect(rules(story)).toEqual([]);
    expect(rules(story.received("s", "n", { id: 8 }))).toEqual(["receive maximum"]);
  });

  test("DUP on what was sent before, and on nothing else", () => {
    expect(rules(pair(1).sends("m", { qos: 1 }).received("s", "m", { qos: 1, dup: true }))).toEqual(["dup"]);
    const again = pair().sends("m").received("s", "m").closed("s").connected("s", true);
    expect(rules(again.received("s", "m"))).toEqual(["dup"]);
  });

  test("acknowledgements answer something, once", () => {
    const once = pair(1).published("m", { qos: 1 }).delivered("s", "m", { qos: 1 });
    expect(rules(once)).toEqual([]);
    expect(rules(once.acknowledged("puback"))).toEqual(["answer"]);
    expect(rules(pair().sends("m").tell("p", { type: "acknowledged", packetId: 1, by: "pubcomp", reason: 0 }))).toEqual(
      ["answer"],
    );
  });
});

describe("share groups", () => {
  const GROUP = "$share/g/t";
  /** `p` publishes, `a` and `b` are a group whose sessions go on. */
  const group = (qos: Qos = 2, options: Partial<Filter> = {}): Story =>
    new Story()
      .connected("p", false)
      .connected("a", false)
      .subscribed("a", GROUP, qos, options)
      .connected("b", false)
      .subscribed("b", GROUP, qos, options);

  test("somebody has an acknowledged message, whoever", () => {
    for (const qos of [1, 2] as const) {
      const story = group().published("m", { qos });
      expect(rules(story)).toEqual(["lost"]);
      expect(owed(story.events)).toHaveLength(1);
      expect(rules(story.delivered("b", "m", { qos }))).toEqual([]);
    }
    expect(rules(group().sends("m"))).toEqual([]);
    expect(rules(group().published("m", { qos: 0 }))).toEqual([]);
  });

  test("unless nobody was there all the time, or is there", () => {
    const early = new Story().connected("p", false).published("m").connected("a", false).subscribed("a", GROUP);
    expect(rules(early)).toEqual([]);
    expect(rules(group().published("m").unsubscribed("a", GROUP).unsubscribed("b", GROUP))).toEqual([]);
    expect(rules(group().published("m").closed("a").closed("b"))).toEqual([]);
    expect(rules(group().published("m").closed("a"))).toEqual(["lost"]);
    expect(rules(group().published("m").unsubscribed("a", GROUP))).toEqual(["lost"]);
  });

  test("unless it ended with a session at QoS 2, or was lost at QoS 0", () => {
    const ends = (qos: Qos): Story =>
      group(qos).published("m", { qos }).closed("b").connected("b", false, { cleanStart: true });
    expect(rules(ends(2))).toEqual([]);
    expect(rules(ends(1))).toEqual(["lost"]);
    const before = group().closed("b").connected("b", false, { cleanStart: true }).subscribed("b", GROUP);
    // Its shard may not have heard of that end yet.
    expect(rules(before.published("m"))).toEqual([]);
    expect(rules(before.later(2_000).published("n"))).toEqual(["lost"]);
    expect(rules(group().connected("c", false).subscribed("c", GROUP, 0).published("m"))).toEqual([]);
  });

  test("a will is for somebody too", () => {
    const story = group()
      .connected("c", false, { will: { ...will("w"), topic: "t" } })
      .closed("c");
    expect(rules(story)).toEqual(["will lost"]);
    expect(rules(story.delivered("a", "w"))).toEqual([]);
    expect(rules(story.delivered("b", "w"))).toEqual(["repeated"]);
  });

  test("nobody has what another has", () => {
    for (const qos of [0, 1, 2] as const) {
      const story = group().published("m", { qos }).delivered("a", "m", { qos });
      expect(rules(story)).toEqual([]);
      expect(rules(story.delivered("b", "m", { qos }))).toEqual(["repeated"]);
    }
  });

  test("unless it went with the message unacknowledged at QoS 1", () => {
    const left = (qos: Qos): Story =>
      group().published("m", { qos }).received("a", "m", { qos }).closed("a").delivered("b", "m", { qos });
    expect(rules(left(1))).toEqual([]);
    expect(rules(left(2))).toEqual(["repeated"]);
    const answered = group().published("m", { qos: 1 }).delivered("a", "m", { qos: 1 });
    answered.later(5_000).closed("a").delivered("b", "m", { qos: 1 });
    expect(rules(answered)).toEqual(["repeated"]);
    const stays = group().published("m", { qos: 1 }).received("a", "m", { qos: 1 });
    expect(rules(stays.later(60_000).delivered("b", "m", { qos: 1 }))).toEqual(["repeated"]);
    const had = group().published("m", { qos: 1 }).delivered("b", "m", { qos: 1 }).received("a", "m", { qos: 1 });
    expect(rules(had.closed("a").later(9_000).delivered("b", "m", { qos: 1, id: 8 }))).toEqual(["repeated"]);
  });

  test("unless the broker has forgotten it, at QoS 1; at QoS 2 it must not", () => {
    const crashed = (qos: Qos): Story =>
      group().published("m", { qos }).delivered("a", "m", { qos }).fault(false).delivered("b", "m", { qos });
    expect(rules(crashed(1))).toEqual([]);
    expect(rules(crashed(2))).toEqual(["repeated"]);
  });

  test("what a member refuses is over, or comes again if the broker was not told", () => {
    const refused = group().published("m").received("a", "m").refused("a", "pubrec");
    expect(rules(refused)).toEqual([]);
    expect(rules(refused.closed("a").connected("a", true).delivered("a", "m", { dup: true }))).toEqual([]);
    const known = group().published("m").received("a", "m").refused("a", "pubrec").later(5_000);
    expect(rules(known.delivered("b", "m"))).toEqual(["repeated"]);
    expect(rules(known.closed("a").delivered("b", "m"))).toEqual(["repeated"]);
  });

  test("a session has it once for itself and once as a member, and identifiers tell which is which", () => {
    const both = (): Story => group(2, { identifier: 9 }).subscribed("a", "t", 2, { identifier: 1 }).published("m");
    const own = { identifiers: [1] };
    const shared = { identifiers: [9] };
    expect(
      rules(
        both()
          .delivered("a", "m", own)
          .delivered("a", "m", { ...shared, id: 8 }),
      ),
    ).toEqual([]);
    expect(rules(both().delivered("a", "m", own))).toEqual(["lost"]);
    expect(rules(both().delivered("a", "m", shared))).toEqual(["lost"]);
    expect(
      rules(
        both()
          .delivered("a", "m", own)
          .delivered("a", "m", { ...own, id: 8 }),
      ),
    ).toEqual(["lost", "repeated"].toSorted().toReversed());
    const twice = both()
      .delivered("a", "m", own)
      .delivered("a", "m", { ...shared, id: 8 });
    expect(rules(twice.delivered("b", "m", shared))).toEqual(["repeated"]);
    expect(rules(both().received("a", "m", { identifiers: [1, 9] }))).toContain("terms");
  });

  test("one that is complete does not come again, and its packet id may be the other's", () => {
    const both = group(2, { identifier: 9 }).subscribed("a", "t", 2, { identifier: 1 }).published("m", { qos: 2 });
    const own = both.delivered("a", "m", { identifiers: [1], qos: 2, id: 8 });
    const again = own.closed("a").connected("a", true);
    expect(rules(again.delivered("a", "m", { identifiers: [9], qos: 2, id: 8, dup: true }))).toEqual([]);
  });

  test("where nothing tells, either will do", () => {
    const both = (): Story => group().subscribed("a", "t").published("m");
    expect(rules(both().delivered("a", "m"))).toEqual([]);
    expect(rules(both().delivered("a", "m").delivered("b", "m"))).toEqual([]);
    expect(rules(both().delivered("a", "m").delivered("a", "m", { id: 8 }))).toEqual([]);
    expect(rules(both().delivered("b", "m"))).toEqual(["lost"]);
  });

  test("nothing comes to who is no member, or is none any more", () => {
    const other = group().connected("c", false).subscribed("c", "$share/h/u");
    expect(rules(other.published("m").delivered("c", "m"))).toEqual(["lost", "uninvited"].toReversed());
    const parted = group().unsubscribed("b", GROUP).published("m").delivered("a", "m");
    expect(rules(parted)).toEqual([]);
    expect(rules(parted.delivered("b", "m"))).toEqual(["uninvited"]);
  });

  test("nothing that is retained comes because somebody subscribes, and RETAIN only who asks for it", () => {
    const kept = (options: Partial<Filter> = {}): Story =>
      new Story()
        .connected("p", false)
        .published("m", { retain: true })
        .connected("a", false)
        .subscribed("a", GROUP, 2, options);
    expect(rules(kept())).toEqual([]);
    expect(rules(kept().delivered("a", "m", { retain: true }))).toEqual(["uninvited"]);
    expect(rules(kept({ retainAsPublished: true }).delivered("a", "m", { retain: true }))).toEqual(["uninvited"]);
    const live = (options: Partial<Filter>): Story => group(2, options).published("m", { retain: true });
    expect(rules(live({}).delivered("a", "m"))).toEqual([]);
    expect(rules(live({}).delivered("a", "m", { retain: true }))).toContain("uninvited");
    expect(rules(live({ retainAsPublished: true }).delivered("a", "m", { retain: true }))).toEqual([]);
  });

  test("QoS is the lower one", () => {
    expect(rules(group(1).published("m").delivered("a", "m", { qos: 1 }))).toEqual([]);
    expect(rules(group(1).published("m").received("a", "m", { qos: 0 }))).toContain("uninvited");
    expect(rules(group(1).published("m").received("a", "m", { qos: 2 }))).toContain("uninvited");
  });

  test("order holds for each member while nobody goes", () => {
    const two = (): Story => group().published("m").published("n");
    expect(rules(two().delivered("a", "n").delivered("b", "m"))).toEqual([]);
    expect(rules(two().delivered("a", "n").delivered("a", "m"))).toEqual(["order"]);
    expect(rules(two().delivered("a", "n").closed("b").delivered("a", "m"))).toEqual([]);
  });
});

describe("terms", () => {
  const subscribed = (options: Partial<Filter>, qos: Qos = 2): Story =>
    new Story().connected("p", false).connected("s", false).subscribed("s", "t", qos, options);

  test("a delivery is at the QoS of the message or the subscription, whichever is lower", () => {
    expect(rules(subscribed({}, 1).published("m").delivered("s", "m", { qos: 1 }))).toEqual([]);
    expect(rules(subscribed({}, 1).published("m").delivered("s", "m", { qos: 2 }))).toEqual(["terms"]);
    expect(rules(subscribed({}, 2).published("m").delivered("s", "m", { qos: 1 }))).toEqual(["terms"]);
  });

  test("with the identifiers of the subscriptions that match, all of them and no others", () => {
    const with7 = (): Story => subscribed({ identifier: 7 }).published("m");
    expect(rules(with7().delivered("s", "m", { identifiers: [7] }))).toEqual([]);
    expect(rules(with7().delivered("s", "m"))).toEqual(["terms"]);
    expect(rules(with7().delivered("s", "m", { identifiers: [7, 8] }))).toEqual(["terms"]);
  });

  test("with RETAIN only as a retained message, or as published if that was asked for", () => {
    const live = { retain: true };
    const asPublished = subscribed({ retainAsPublished: true, retainHandling: 2 }).published("m", live);
    expect(rules(asPublished.delivered("s", "m", live))).toEqual([]);
    const plain = subscribed({ retainHandling: 2 }).published("m", live);
    expect(rules(plain.delivered("s", "m", live))).toEqual(["terms"]);
  });

  test("not to its publisher with No Local", () => {
    const own = (noLocal: boolean): Story => {
      const story = new Story().connected("p", false).subscribed("p", "t", 2, { noLocal });
      return story.published("m").delivered("p", "m");
    };
    expect(rules(own(false))).toEqual([]);
    expect(rules(own(true))).toEqual(["uninvited"]);
  });

  test("SUBACK grants what was asked for, and UNSUBACK knows what was there", () => {
    const asks = new Story().connected("s", false);
    asks.tell("s", { type: "subscribe", packetId: 1, filters: [{ filter: "t", qos: 1 }] });
    expect(rules(asks.tell("s", { type: "subscribed", packetId: 1, granted: [2] }))).toEqual(["answer"]);
    const leaves = (code: number): Story => {
      const story = subscribed({}).tell("s", { type: "unsubscribe", packetId: 2, filters: ["t"] });
      return story.tell("s", { type: "unsubscribed", packetId: 2, granted: [code] });
    };
    expect(rules(leaves(0))).toEqual([]);
    expect(rules(leaves(0x11))).toEqual(["answer"]);
  });
});

describe("expiry", () => {
  test("a message comes with what is left of its Message Expiry Interval, and not after it", () => {
    const comes = (laterMs: number, expirySeconds: number | undefined): Story => {
      const story = pair(1).tell("p", {
        type: "publish",
        topic: "t",
        payload: "m",
        qos: 1,
        retain: false,
        dup: false,
        packetId: 1,
        expirySeconds: 10,
      });
      const left = expirySeconds !== undefined && { expirySeconds };
      const received = { topic: "t", payload: "m", qos: 1, retain: false, dup: false, packetId: 7, ...left };
      return story
        .acknowledged("puback")
        .later(laterMs)
        .tell("s", { type: "received", ...received });
    };
    expect(rules(comes(0, 10))).toEqual([]);
    expect(rules(comes(3_500, 6))).toEqual([]);
    expect(rules(comes(3_500, 4))).toEqual(["expiry"]);
    expect(rules(comes(3_500, undefined))).toEqual(["expiry"]);
    expect(rules(comes(12_000, 0))).toEqual(["expiry"]);
  });
});

describe("what is sent again", () => {
  /** Two messages came and were not answered when the connection ended. */
  const two = (): Story => {
    const story = pair().published("m").published("n", { id: 2 });
    story.received("s", "m", { id: 7 }).received("s", "n", { id: 8 });
    return story.closed("s").connected("s", true);
  };

  test("comes in its order", () => {
    const inOrder = two().delivered("s", "m", { id: 7, dup: true });
    expect(rules(inOrder.delivered("s", "n", { id: 8, dup: true }))).toEqual([]);
    const reversed = two().delivered("s", "n", { id: 8, dup: true });
    expect(rules(reversed.delivered("s", "m", { id: 7, dup: true }))).toEqual(["order"]);
  });

  test("comes before anything new", () => {
    const behind = two().published("o").delivered("s", "o", { id: 9 }).delivered("s", "m", { id: 7, dup: true });
    expect(rules(behind.delivered("s", "n", { id: 8, dup: true }))).toContain("order");
  });

  test("PUBREL comes for what was received, or where a connection before may have said so", () => {
    expect(rules(pair().published("m").delivered("s", "m"))).toEqual([]);
    expect(rules(pair().released("s", 9))).toEqual(["answer"]);
    expect(rules(pair().published("m").received("s", "m").released("s"))).toContain("answer");
    const resumed = pair().published("m").received("s", "m").answered("s", "pubrec");
    expect(rules(resumed.closed("s").connected("s", true).released("s"))).toEqual([]);
  });
});

describe("scans", () => {
  const kept = (): Story => new Story().connected("p", false).published("m", { retain: true });

  test("a SUBSCRIBE gets what is retained, if it asks for it", () => {
    expect(rules(kept().connected("s", false).subscribed("s", "t"))).toEqual(["retained"]);
    const got = kept().connected("s", false).subscribed("s", "t").delivered("s", "m", { retain: true });
    expect(rules(got)).toEqual([]);
    expect(rules(kept().connected("s", false).subscribed("s", "t", 2, { retainHandling: 2 }))).toEqual([]);
  });

  test("unless it is replaced meanwhile", () => {
    const replaced = kept().connected("s", false).subscribed("s", "t").published("n", { retain: true });
    expect(rules(replaced.delivered("s", "n"))).toEqual([]);
  });
});
