import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SubscriptionTree } from "../../src/core/shard/subscription-tree.ts";

/** The matching rules once more, level by level, to compare with. */
function matches(filter: string[], topic: string[]): boolean {
  const [want, ...filterRest] = filter;
  const [have, ...topicRest] = topic;
  if (want === "#") return true;
  if (want === undefined || have === undefined) return want === have;
  return (want === "+" || want === have) && matches(filterRest, topicRest);
}

function matchesTopic(filter: string, topic: string): boolean {
  if (topic.startsWith("$") && (filter.startsWith("+") || filter.startsWith("#"))) return false;
  return matches(filter.split("/"), topic.split("/"));
}

/** Every visit of one match, as `subscriber=subscription`, sorted. */
function found(tree: SubscriptionTree<string, string>, topic: string): string[] {
  const visits: string[] = [];
  tree.match(topic, (subscriber, subscription) => visits.push(`${subscriber}=${subscription}`));
  return visits.sort();
}

describe("a topic is matched [MQTT-3.3.2-3]", () => {
  test.each<[filter: string, matching: string[], others: string[]]>([
    [
      "sport/tennis/player1/#",
      ["sport/tennis/player1", "sport/tennis/player1/ranking", "sport/tennis/player1/score/wimbledon"],
      ["sport/tennis/player2", "sport/tennis", "sport/tennis/player11"],
    ],
    ["sport/#", ["sport", "sport/", "sport/tennis"], ["sports", "/sport"]],
    ["#", ["sport", "/", "a/b/c", "/a"], ["$SYS", "$SYS/a"]],
    [
      "sport/tennis/+",
      ["sport/tennis/player1", "sport/tennis/player2", "sport/tennis/"],
      ["sport/tennis", "sport/tennis/player1/ranking"],
    ],
    ["sport/+", ["sport/", "sport/tennis"], ["sport", "sport/tennis/player1"]],
    ["+", ["finance", "sport"], ["/finance", "$SYS"]],
    ["+/+", ["/finance", "a/b", "/"], ["finance", "a/b/c", "$SYS/a"]],
    ["/+", ["/finance", "/"], ["finance", "a/finance"]],
    ["+/tennis/#", ["sport/tennis", "sport/tennis/a/b", "/tennis"], ["sport/x", "$SYS/tennis"]],
    ["sport/+/player1", ["sport/tennis/player1", "sport//player1"], ["sport/player1"]],
    ["+/monitor/Clients", ["a/monitor/Clients"], ["$SYS/monitor/Clients"]],
    ["$SYS/#", ["$SYS", "$SYS/monitor/Clients"], ["SYS/a", "$sys/a"]],
    ["$SYS/monitor/+", ["$SYS/monitor/Clients"], ["$SYS/monitor"]],
    ["a/$b/+", ["a/$b/$c"], ["a/b/c"]],
    ["a/+/#", ["a/$b", "a/b/c", "a/"], ["a"]],
    ["/", ["/"], ["//", "a/", "/a"]],
    ["//", ["//"], ["/", "///"]],
    ["a//b", ["a//b"], ["a/b", "a/x/b"]],
    ["a/", ["a/"], ["a", "a//"]],
    ["ACCOUNTS", ["ACCOUNTS"], ["Accounts"]],
    ["a b/é", ["a b/é"], ["a b/e\u0301"]],
    ["/#", ["/", "/a", "//", "/a/b"], ["a", "a/b"]],
  ])("by %j with %j, and not with %j [MQTT-4.7]", (filter, matching, others) => {
    const tree = new SubscriptionTree<string, string>();
    tree.set(filter, "client", "granted");
    for (const topic of matching) expect(found(tree, topic), topic).toEqual(["client=granted"]);
    for (const topic of others) expect(found(tree, topic), topic).toEqual([]);
  });

  test("with a literal level that looks like a name of the tree's own, and not with a wildcard character", () => {
    const tree = new SubscriptionTree<string, string>();
    for (const name of ["__proto__", "constructor", "undefined", ""]) tree.set(`a/${name}`, name, "x");
    tree.set("a/+", "plus", "x");
    for (const name of ["__proto__", "constructor", "undefined", ""]) {
      expect(found(tree, `a/${name}`)).toEqual([`${name}=x`, "plus=x"].sort());
    }
    expect(found(tree, "a/toString")).toEqual(["plus=x"]);
  });

  test("once for each matching filter of a subscriber", () => {
    const tree = new SubscriptionTree<string, string>();
    for (const filter of ["a/b", "a/+", "+/b", "+/+", "a/#", "#", "a/b/#", "a/c"]) tree.set(filter, "client", filter);
    tree.set("a/b", "other", "mine");
    expect(found(tree, "a/b")).toEqual(
      [
        "client=a/b",
        "client=a/+",
        "client=+/b",
        "client=+/+",
        "client=a/#",
        "client=#",
        "client=a/b/#",
        "other=mine",
      ].sort(),
    );
  });
});

describe("a subscription", () => {
  test("replaces the same subscriber's for the same filter and nobody else's [MQTT-3.8.4-3]", () => {
    const tree = new SubscriptionTree<string, string>();
    expect(tree.set("a/+", "one", "first")).toBeUndefined();
    expect(tree.set("a/+", "one", "second")).toBe("first");
    expect(tree.set("a/+", "two", "other")).toBeUndefined();
    expect(tree.set("a/+", "one", "third")).toBe("second");
    expect(tree.get("a/+", "one")).toBe("third");
    expect(tree.get("a/+", "two")).toBe("other");
    expect(tree.size).toBe(2);
    expect(found(tree, "a/b")).toEqual(["one=third", "two=other"]);
  });

  test("is found by its own filter only [MQTT-3.10.4-1]", () => {
    const tree = new SubscriptionTree<string, string>();
    tree.set("a/+", "one", "x");
    for (const filter of ["a/b", "a/#", "+/+", "a", "a/+/", "a/+/#"]) {
      expect(tree.get(filter, "one")).toBeUndefined();
      expect(tree.delete(filter, "one")).toBeUndefined();
    }
    expect(tree.get("a/+", "two")).toBeUndefined();
    expect(tree.delete("a/+", "two")).toBeUndefined();
    expect(tree.size).toBe(1);
    expect(tree.delete("a/+", "one")).toBe("x");
    expect(tree.delete("a/+", "one")).toBeUndefined();
    expect(tree.size).toBe(0);
    expect(found(tree, "a/b")).toEqual([]);
  });

  test("takes away, when it goes, the nodes that only it needed", () => {
    const tree = new SubscriptionTree<string, string>();
    tree.set("a/b", "stays", "x");
    const baseline = tree.nodes;
    expect(baseline).toBe(2);
    const filters = ["a/b/c/d/e", "a/+/c", "a/b/#", "#", "+/+/+", "a", "a/x/y", "a/b", "b/c"];
    for (const filter of filters) tree.set(filter, "goes", "x");
    expect(tree.nodes).toBeGreaterThan(baseline);
    for (const filter of filters) tree.delete(filter, "goes");
    expect(tree.nodes).toBe(baseline);
    expect(found(tree, "a/b")).toEqual(["stays=x"]);
    tree.delete("a/b", "stays");
    expect(tree.nodes).toBe(0);
    expect(tree.size).toBe(0);
  });
});

test("a tree answers as a plain list of subscriptions does, whatever is set and deleted", () => {
  const name = fc.constantFrom("", "a", "b", "$a");
  const topic = fc.array(name, { minLength: 1, maxLength: 4 }).map((levels) => levels.join("/"));
  const filter = fc
    .tuple(fc.array(fc.oneof({ weight: 3, arbitrary: name }, fc.constant("+")), { maxLength: 4 }), fc.boolean())
    .map(([levels, open]) => (open || levels.length === 0 ? [...levels, "#"] : levels).join("/"));
  const subscriber = fc.constantFrom("one", "two", "three");
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ do: fc.constant("set" as const), filter, subscriber }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("delete" as const), filter, subscriber }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("delete any" as const), which: fc.nat() }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant("match" as const), topic }) },
  );

  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const tree = new SubscriptionTree<string, string>();
      const model = new Map<string, { filter: string; subscriber: string; subscription: string }>();
      const remove = (filter: string, subscriber: string): void => {
        const key = `${subscriber} ${filter}`;
        expect(tree.delete(filter, subscriber)).toBe(model.get(key)?.subscription);
        model.delete(key);
      };
      steps.forEach((step, number) => {
        if (step.do === "set") {
          const { filter, subscriber } = step;
          const key = `${subscriber} ${filter}`;
          const subscription = `${filter} of step ${number}`;
          expect(tree.set(filter, subscriber, subscription)).toBe(model.get(key)?.subscription);
          model.set(key, { filter, subscriber, subscription });
          expect(tree.get(filter, subscriber)).toBe(subscription);
        } else if (step.do === "delete") {
          remove(step.filter, step.subscriber);
        } else if (step.do === "delete any") {
          const any = [...model.values()][step.which % model.size];
          if (any !== undefined) remove(any.filter, any.subscriber);
        } else {
          const expected = [...model.values()].filter((one) => matchesTopic(one.filter, step.topic));
          expect(found(tree, step.topic)).toEqual(
            expected.map((one) => `${one.subscriber}=${one.subscription}`).sort(),
          );
        }
        const prefixes = new Set<string>();
        for (const { filter } of model.values()) {
          const levels = filter.split("/");
          levels.forEach((_, i) => prefixes.add(levels.slice(0, i + 1).join("/")));
        }
        expect(tree.size).toBe(model.size);
        expect(tree.nodes).toBe(prefixes.size);
      });
      for (const { filter, subscriber } of model.values()) remove(filter, subscriber);
      expect([tree.size, tree.nodes]).toEqual([0, 0]);
    }),
    { numRuns: 500 },
  );
});

describe("a match stays bounded", () => {
  test("by the nodes there are, when filters have a wildcard at every level", () => {
    const tree = new SubscriptionTree<number, number>();
    const depth = 12;
    // Every filter of 12 levels that are `a` or `+`: each node is on the way of the topic, and is looked at once.
    for (let bits = 0; bits < 2 ** depth; bits++) {
      const levels = Array.from({ length: depth }, (_, i) => ((bits >> i) & 1 ? "+" : "a"));
      tree.set(levels.join("/"), bits, bits);
    }
    expect(tree.nodes).toBe(2 ** (depth + 1) - 2);
    const visited = new Set<number>();
    let visits = 0;
    tree.match(Array(depth).fill("a").join("/"), (subscriber) => {
      visited.add(subscriber);
      visits++;
    });
    expect(visits).toBe(2 ** depth);
    expect(visited.size).toBe(2 ** depth);
  });

  test("in depth, when topic and filter have as many levels as fit into a packet", () => {
    const tree = new SubscriptionTree<string, string>();
    const levels = 32_000;
    const filter = `${"+/".repeat(levels)}#`;
    tree.set(filter, "deep", "x");
    tree.set("/".repeat(levels), "slashes", "y");
    expect(found(tree, "/".repeat(levels))).toEqual(["deep=x", "slashes=y"]);
    tree.delete(filter, "deep");
    tree.delete("/".repeat(levels), "slashes");
    expect(tree.nodes).toBe(0);
  });

  test("in reading, when the topic goes on long after the last filter ends", () => {
    const tree = new SubscriptionTree<string, string>();
    tree.set("a/b", "client", "x");
    tree.set("a/#", "client", "y");
    expect(found(tree, `a/b${"/c".repeat(30_000)}`)).toEqual(["client=y"]);
  });
});
