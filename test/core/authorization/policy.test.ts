import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Client, OPEN_POLICY, RuledPolicy } from "../../../src/core/authorization/policy.ts";
import { ACTIONS, type Action, type Rule } from "../../../src/core/authorization/rule.ts";
import { filterMatches } from "../../../src/mqtt/topic.ts";

const ROGER: Client = { user: "roger", clientId: "c1", claims: new Map(), rules: [] };
const NOBODY: Client = { ...ROGER, user: undefined };

const rule = (effect: Rule["effect"], actions: readonly Action[], filter: string, whose: Partial<Rule> = {}): Rule => ({
  effect,
  actions,
  filter,
  ...whose,
});
const allow = (filter: string, whose?: Partial<Rule>) => rule("allow", ACTIONS, filter, whose);
const deny = (filter: string, whose?: Partial<Rule>) => rule("deny", ACTIONS, filter, whose);

const permissions = (rules: readonly Rule[], client: Partial<Client> = {}) =>
  new RuledPolicy(rules).of({ ...ROGER, ...client });

/** Which of these may be subscribed to. */
const subscribable = (filters: readonly string[], rules: readonly Rule[], client: Partial<Client> = {}) => {
  const may = permissions(rules, client);
  return filters.filter((filter) => may.maySubscribe(filter));
};
const publishable = (topics: readonly string[], rules: readonly Rule[], client: Partial<Client> = {}) => {
  const may = permissions(rules, client);
  return topics.filter((topic) => may.mayPublish(topic, false));
};

describe("publishing", () => {
  it("is allowed where a rule allows it and none denies it, in any order", () => {
    const topics = ["a", "a/b", "a/secret", "a/secret/x", "b", "$SYS/a"];
    const rules = [allow("a/#"), deny("a/secret/#")];
    expect(publishable(topics, rules)).toEqual(["a", "a/b"]);
    expect(publishable(topics, rules.toReversed())).toEqual(["a", "a/b"]);
  });

  it("is denied where no rule says anything", () => {
    expect(publishable(["a"], [])).toEqual([]);
    expect(publishable(["a"], [deny("b")])).toEqual([]);
    expect(publishable(["a"], [rule("allow", ["subscribe", "retain", "will"], "a")])).toEqual([]);
  });

  it("with RETAIN takes retain besides publish, which may come from two rules", () => {
    const may = permissions([rule("allow", ["publish"], "a/+"), rule("allow", ["retain"], "+/state")]);
    expect([may.mayPublish("a/state", false), may.mayPublish("a/state", true)]).toEqual([true, true]);
    expect([may.mayPublish("a/x", false), may.mayPublish("a/x", true)]).toEqual([true, false]);
    expect([may.mayPublish("b/state", false), may.mayPublish("b/state", true)]).toEqual([false, false]);
  });

  it("a deny rule for retain leaves publishing alone, and one for publish leaves nothing", () => {
    const may = permissions([allow("#"), rule("deny", ["retain"], "a/#"), rule("deny", ["publish"], "b/#")]);
    expect([may.mayPublish("a/x", false), may.mayPublish("a/x", true), may.mayWill("a/x", false)]).toEqual([
      true,
      false,
      true,
    ]);
    expect([may.mayPublish("b/x", true), may.mayWill("b/x", false), may.maySubscribe("b/x")]).toEqual([
      false,
      false,
      true,
    ]);
  });

  it("a will takes will and publish, and retain if it is retained", () => {
    const wills = (...actions: Action[]) => {
      const may = permissions([rule("allow", actions, "a")]);
      return [may.mayWill("a", false), may.mayWill("a", true)];
    };
    expect(wills("will")).toEqual([false, false]);
    expect(wills("publish", "retain")).toEqual([false, false]);
    expect(wills("will", "publish")).toEqual([true, false]);
    expect(wills("will", "publish", "retain")).toEqual([true, true]);
  });

  it("is decided alike for the first time, from memory, and when memory was full in between", () => {
    const may = permissions([allow("a/+"), deny("a/13")]);
    const topics = Array.from({ length: 300 }, (_, number) => `a/${number}`);
    for (let round = 0; round < 2; round++) {
      for (const topic of topics) {
        expect(may.mayPublish(topic, false)).toBe(topic !== "a/13");
        expect(may.mayPublish(topic, true)).toBe(topic !== "a/13");
      }
    }
  });
});

describe("subscribing", () => {
  it("needs a rule that covers all of the filter", () => {
    expect(subscribable(["a", "a/", "a/b", "a/+", "a/#", "a/+/c/#", "#", "+", "+/b", "b"], [allow("a/#")])).toEqual([
      "a",
      "a/",
      "a/b",
      "a/+",
      "a/#",
      "a/+/c/#",
    ]);
  });

  it("is refused with # when only a/# is allowed, by whatever way", () => {
    const attempts = ["#", "+/#", "+", "/#", "+/+", "../a/#", "$share/g/#", "$share/g/+/#", "A/#", "$a/#"];
    expect(subscribable(attempts, [allow("a/#")])).toEqual([]);
  });

  it("two rules that together cover a filter do not", () => {
    expect(subscribable(["+/x", "a/x"], [allow("a/x"), allow("+/y")])).toEqual(["a/x"]);
  });

  it("is refused where a deny rule is about any of it", () => {
    expect(
      subscribable(["a/#", "a/+", "+/secret", "a/secret", "#", "a/b", "+/b", "a/b/#"], [allow("#"), deny("a/secret")]),
    ).toEqual(["a/b", "+/b", "a/b/#"]);
  });

  it("deny a/secret/# is about a/secret itself, and about a filter that is wider or deeper", () => {
    expect(
      subscribable(["a/+", "a/secret", "a/secret/x", "+/+/x", "a/b/+"], [allow("a/#"), deny("a/secret/#")]),
    ).toEqual(["a/b/+"]);
  });

  it("[MQTT-4.8.2] a share is judged by its filter", () => {
    const filters = ["$share/g/a/b", "$share/a/#", "$share/g/#", "$share/a/b", "$share/g/a/secret", "$share/g/$SYS/x"];
    expect(subscribable(filters, [allow("a/#"), deny("a/secret")])).toEqual(["$share/g/a/b"]);
    expect(subscribable(["$share/g/b", "$share/a/b"], [allow("b")])).toEqual(["$share/g/b", "$share/a/b"]);
  });

  it("[MQTT-4.7.2-1] $SYS needs a rule of its own", () => {
    const filters = ["$SYS/#", "$SYS/broker/load", "$SYS", "+/broker", "#"];
    expect(subscribable(filters, [allow("#"), allow("+/#")])).toEqual(["+/broker", "#"]);
    expect(subscribable(filters, [allow("$SYS/#")])).toEqual(["$SYS/#", "$SYS/broker/load", "$SYS"]);
    expect(subscribable(filters, [allow("#"), allow("$SYS/#"), deny("$SYS/broker/#")])).toEqual([
      "$SYS",
      "+/broker",
      "#",
    ]);
  });

  it("a filter of 128 levels is judged like any other", () => {
    const deep = Array.from({ length: 127 }, () => "x");
    const rules = [allow("x/#"), deny(`${"+/".repeat(127)}secret`)];
    expect(
      subscribable([[...deep, "y"].join("/"), [...deep, "secret"].join("/"), [...deep, "+"].join("/")], rules),
    ).toEqual([[...deep, "y"].join("/")]);
    expect(publishable([[...deep, "y"].join("/"), [...deep, "secret"].join("/")], rules)).toEqual([
      [...deep, "y"].join("/"),
    ]);
    expect(subscribable([`${"+/".repeat(127)}#`], [allow("+/+/#")])).toEqual([`${"+/".repeat(127)}#`]);
  });

  it("[MQTT-4.7.3-4] what looks alike is not the same", () => {
    // Cyrillic а, full width ａ, é in two forms, a zero width space.
    expect(subscribable(["а/x", "ａ/x", "a\u200b/x", "A/x"], [allow("a/#")])).toEqual([]);
    expect(publishable(["caf\u00e9", "cafe\u0301"], [allow("caf\u00e9")])).toEqual(["caf\u00e9"]);
    expect(subscribable(["users/rog\u0435r/#"], [allow("users/%u/#")])).toEqual([]);
  });
});

describe("whom a rule is for", () => {
  it.each([
    ["everybody", {}, [true, true, true]],
    ["a user", { user: "roger" }, [true, false, false]],
    ["another user", { user: "ann" }, [false, true, false]],
    ["a client id", { clientId: "c2" }, [false, true, true]],
    ["the client of a user", { user: "roger", clientId: "c2" }, [false, false, false]],
    ["a user's own client", { user: "ann", clientId: "c2" }, [false, true, false]],
    ["who is nobody", { anonymous: true as const }, [false, false, true]],
    ["a user who is nobody", { user: "roger", anonymous: true as const }, [false, false, false]],
  ])("%s", (_, whose, expected) => {
    const policy = new RuledPolicy([allow("a", whose)]);
    const clients = [ROGER, { ...ROGER, user: "ann", clientId: "c2" }, { ...NOBODY, clientId: "c2" }];
    expect(clients.map((client) => policy.of(client).mayPublish("a", false))).toEqual(expected);
  });

  it("no name of a user is that of nobody", () => {
    for (const user of ["", "undefined", "null", "anonymous"]) {
      expect(publishable(["a"], [allow("a", { anonymous: true })], { user })).toEqual([]);
      expect(publishable(["a"], [allow("a", { user })], { user: undefined })).toEqual([]);
    }
  });

  it("a client's own rules are besides those of everybody, and its own denials hold", () => {
    const rules = [allow("%c/#"), deny("b/x")];
    expect(publishable(["a", "b", "b/x", "c1/x"], [allow("a")], { rules })).toEqual(["a", "c1/x"]);
    expect(publishable(["b/x"], [allow("#")], { rules })).toEqual([]);
    expect(publishable(["b/x"], [deny("#")], { rules: [allow("#")] })).toEqual([]);
  });

  it("a client's own rules are for it only where they say so", () => {
    const rules = [allow("a", { user: "ann" }), allow("b", { clientId: "c2" }), allow("c", { anonymous: true })];
    expect(publishable(["a", "b", "c"], [], { rules })).toEqual([]);
    expect(publishable(["a", "b", "c"], [], { rules, user: "ann", clientId: "c2" })).toEqual(["a", "b"]);
    expect(publishable(["a", "b", "c"], [], { rules, user: undefined })).toEqual(["c"]);
  });

  it("a rule with a filter that is none is no policy", () => {
    expect(() => permissions([allow("a/#/b")])).toThrow(RangeError);
    expect(() => permissions([], { rules: [deny("%x")] })).toThrow(RangeError);
  });
});

describe("a client that chooses its name", () => {
  const rules = [allow("devices/%c/#"), allow("users/%u/#"), allow("%c/own")];
  const everywhere = ["#", "devices/#", "devices/+/#", "devices/b/x", "devices/a/b/x", "users/+/x", "$SYS/own", "/own"];

  it.each(["+", "#", "a/b", "a/#", "../b", "$SYS", "", "+/#", "/", "devices/b", "\0"])(
    "%j reaches nothing of others",
    (name) => {
      expect(subscribable(everywhere, rules, { clientId: name, user: name })).toEqual([]);
      expect(publishable(["devices/b/x", "devices/a/b/x", "$SYS/own", "/own"], rules, { clientId: name })).toEqual([]);
      expect(subscribable(["devices/+/x", "devices/#"], rules, { clientId: name })).toEqual([]);
    },
  );

  it("gets around no deny rule with it", () => {
    const denying = [allow("devices/#"), deny("devices/%c/secret")];
    for (const clientId of ["a", "+", "#", "a+b", "a/b", "%c", "$x"]) {
      expect(subscribable(["devices/#", "#"], denying, { clientId })).toEqual([]);
    }
    expect(publishable(["devices/a/secret", "devices/b/secret"], denying, { clientId: "#" })).toEqual([]);
    expect(publishable(["devices/a/secret", "devices/b/secret"], denying, { clientId: "a" })).toEqual([
      "devices/b/secret",
    ]);
  });

  it("that is nobody has no place of a user, not even one called so", () => {
    for (const filter of ["users/+/x", "users//x", "users/undefined/x", "users/%u/x", "users/#"]) {
      expect(subscribable([filter], rules, { user: undefined })).toEqual([]);
    }
    expect(subscribable(["devices/c1/x"], rules, { user: undefined })).toEqual(["devices/c1/x"]);
  });
});

describe("why", () => {
  const secret = deny("a/secret");
  const wide = rule("allow", ["publish", "subscribe"], "a/#");
  const may = permissions([wide, secret]);

  it("names the rule that denied, or one that allowed", () => {
    expect(may.explain("publish", "a/b")).toEqual({ allowed: true, by: wide });
    expect(may.explain("publish", "a/secret")).toEqual({ allowed: false, by: secret });
    expect(may.explain("subscribe", "$share/g/a/+")).toEqual({ allowed: false, by: secret });
    expect(may.explain("retain", "a/b")).toEqual({ allowed: false, by: undefined });
    expect(may.explain("subscribe", "#")).toEqual({ allowed: false, by: secret });
    expect(may.explain("subscribe", "b/#")).toEqual({ allowed: false, by: undefined });
  });

  it("names the rule as it was written", () => {
    const own = allow("%u/#");
    expect(permissions([own]).explain("publish", "roger/x").by).toBe(own);
  });
});

describe("without rules", () => {
  it("everybody may everything", () => {
    const may = OPEN_POLICY.of(NOBODY);
    expect([may.mayPublish("a", true), may.maySubscribe("$SYS/#"), may.mayWill("a", true)]).toEqual([true, true, true]);
    expect(may.explain("publish", "a")).toEqual({ allowed: true, by: undefined });
    expect(OPEN_POLICY.of(ROGER)).toBe(may);
  });

  it("but who brings rules is judged by them", () => {
    const may = OPEN_POLICY.of({ ...ROGER, rules: [allow("%u/#")] });
    expect([may.mayPublish("roger/x", false), may.mayPublish("a", false)]).toEqual([true, false]);
  });
});

it("a thousand rules for one user, and a thousand users, are judged like one", () => {
  const rules = Array.from({ length: 1000 }, (_, number) => allow(`a/${number}/+/#`));
  const others = Array.from({ length: 1000 }, (_, number) => allow(`b/${number}`, { user: `user-${number}` }));
  const may = permissions([...rules, ...others, deny("a/500/secret/#")], { user: "user-7" });
  expect([may.mayPublish("a/999/x", true), may.mayPublish("a/1000/x", false)]).toEqual([true, false]);
  expect([may.maySubscribe("a/500/x/#"), may.maySubscribe("a/500/+"), may.maySubscribe("a/+/x")]).toEqual([
    true,
    false,
    false,
  ]);
  expect([may.mayPublish("b/7", false), may.mayPublish("b/8", false)]).toEqual([true, false]);
});

describe("for any rules", () => {
  const LEVELS = ["", "$x", "a", "b"];
  const level = fc.constantFrom(...LEVELS, "+", "%c", "%u", "%{k}");
  const text = (levels: string[], open: boolean) => [...levels, ...(open ? ["#"] : [])].join("/");
  const filters = fc
    .tuple(fc.array(fc.constantFrom(...LEVELS, "+"), { maxLength: 3 }), fc.boolean())
    .map(([levels, open]) => text(levels, open))
    .filter((filter) => filter !== "");
  const rules = fc.array(
    fc.record({
      effect: fc.constantFrom("allow" as const, "allow" as const, "deny" as const),
      actions: fc.subarray([...ACTIONS]),
      filter: fc
        .tuple(fc.array(level, { maxLength: 3 }), fc.boolean())
        .map(([levels, open]) => text(levels, open))
        .filter((filter) => filter !== ""),
    }),
    { maxLength: 5 },
  );
  const name = fc.constantFrom("a", "b", "$x", "+", "#", "a/b", "");
  const clients = fc.record({
    user: fc.option(name, { nil: undefined }),
    clientId: name,
    claims: fc.option(name, { nil: undefined }).map((value) => new Map(value === undefined ? [] : [["k", value]])),
    rules: fc.constant([]),
  });
  const TOPICS = [...LEVELS, "c"]
    .flatMap((one) => [
      [one],
      ...[...LEVELS, "c"].flatMap((two) => [[one, two], ...LEVELS.map((three) => [one, two, three])]),
    ])
    .map((levels) => levels.join("/"))
    .filter((topic) => topic !== "");

  it("whoever may subscribe may subscribe to each topic that it can match, by its own name", () => {
    let subscribed = 0;
    fc.assert(
      fc.property(rules, clients, filters, (some, client, filter) => {
        const may = new RuledPolicy(some).of(client);
        if (!may.maySubscribe(filter)) return;
        subscribed += 1;
        for (const topic of TOPICS) {
          if (filterMatches(filter, topic)) expect(may.maySubscribe(topic)).toBe(true);
        }
      }),
      { numRuns: 10_000 },
    );
    expect(subscribed).toBeGreaterThan(100);
  });

  it("what is remembered, what is explained and the definition agree, in any order of the rules", () => {
    fc.assert(
      fc.property(rules, clients, fc.constantFrom(...TOPICS), (some, client, topic) => {
        const may = new RuledPolicy(some).of(client);
        const reversed = new RuledPolicy(some.toReversed()).of(client);
        const allows = (action: Action) => may.explain(action, topic).allowed;
        for (const of of [may, reversed]) {
          expect(of.mayPublish(topic, false)).toBe(allows("publish"));
          expect(of.mayPublish(topic, true)).toBe(allows("publish") && allows("retain"));
          expect(of.mayWill(topic, false)).toBe(allows("publish") && allows("will"));
          expect(of.mayWill(topic, true)).toBe(allows("publish") && allows("will") && allows("retain"));
          expect(of.maySubscribe(topic)).toBe(allows("subscribe"));
        }
      }),
      { numRuns: 5000 },
    );
  });

  it("one deny rule more allows nothing more, and one allow rule more denies nothing more", () => {
    fc.assert(
      fc.property(rules, rules, clients, filters, (some, more, client, filter) => {
        const before = new RuledPolicy(some).of(client).maySubscribe(filter);
        for (const added of more) {
          const after = new RuledPolicy([...some, added]).of(client).maySubscribe(filter);
          if (added.effect === "deny" && after) expect(before).toBe(true);
          if (added.effect === "allow" && before) expect(after).toBe(true);
        }
      }),
      { numRuns: 3000 },
    );
  });
});
