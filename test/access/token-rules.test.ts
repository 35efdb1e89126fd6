/** The ACL claim, in both of its forms, and what is wrong with others. */

import { expect, test } from "vitest";
import { tokenRules } from "../../src/access/token-rules.ts";
import { ACTIONS } from "../../src/core/authorization/rule.ts";

const PUBLISH = ["publish", "retain", "will"];

test("none, and an empty one, allow nothing more", () => {
  for (const claim of [undefined, {}, [], { pub: [] }]) expect(tokenRules(claim)).toEqual([]);
});

test("lists by action", () => {
  expect(tokenRules({ pub: ["up/${username}"], sub: ["down/${clientid}/#", "%{site}/+"], all: ["eq a/100%"] })).toEqual(
    [
      { effect: "allow", actions: PUBLISH, filter: "up/%u" },
      { effect: "allow", actions: ["subscribe"], filter: "down/%c/#" },
      { effect: "allow", actions: ["subscribe"], filter: "%{site}/+" },
      { effect: "allow", actions: ACTIONS, filter: "a/100%%" },
    ],
  );
});

test("a list of rules, in its order", () => {
  expect(
    tokenRules([
      { permission: "deny", action: "publish", topic: "t/2", retain: true },
      { permission: "allow", action: "publish", topic: "t/%u", retain: false },
      { permission: "allow", action: "all", topics: ["a", "b"], qos: [2, 1, 0] },
      { permission: "allow", action: "all", topic: "c", retain: true },
      { permission: "deny", action: "subscribe", topic: "#" },
    ]),
  ).toEqual([
    { effect: "deny", actions: ["retain"], filter: "t/2" },
    { effect: "allow", actions: ["publish", "will"], filter: "t/%u" },
    { effect: "allow", actions: ACTIONS, filter: "a" },
    { effect: "allow", actions: ACTIONS, filter: "b" },
    { effect: "allow", actions: ["subscribe", "retain"], filter: "c" },
    { effect: "deny", actions: ["subscribe"], filter: "#" },
  ]);
});

const rule = (more: object) => [{ permission: "allow", action: "publish", topic: "a", ...more }];

test.each([
  [null, "neither an object"],
  ["#", "neither an object"],
  [true, "neither an object"],
  [["#"], "neither an object"],
  [[["#"]], "neither an object"],
  [{ pub: "#" }, "topics that are not text"],
  [{ pub: [5] }, "topics that are not text"],
  [{ pub: [["#"]] }, "topics that are not text"],
  [{ deny: ["#"] }, "a member besides"],
  [JSON.parse('{"__proto__":["#"]}'), "a member besides"],
  [{ pub: ["a/#/b"] }, "a topic filter that is none"],
  [{ pub: [""] }, "a topic filter that is none"],
  [{ pub: ["a\u0000"] }, "a topic filter that is none"],
  [{ pub: ["x".repeat(1025)] }, "a topic filter that is none"],
  [{ sub: ["$share/g/#"] }, "a shared filter"],
  [{ sub: ["eq $share/g/a"] }, "a shared filter"],
  [{ sub: ["eq a/#"] }, "an eq with a wildcard"],
  [{ sub: ["${cert_common_name}/#"] }, "an unknown placeholder"],
  [{ sub: ["a/50%"] }, "an unknown placeholder"],
  [{ sub: ["%x"] }, "an unknown placeholder"],
  [{ sub: ["%{a"] }, "an unknown placeholder"],
  [{ sub: ["%{}"] }, "an unknown placeholder"],
  [rule({ permission: "maybe" }), "a permission besides"],
  [rule({ permission: undefined }), "a permission besides"],
  [rule({ action: "toString" }), "an action besides"],
  [rule({ action: ["publish"] }), "an action besides"],
  [rule({ qos: [1] }), "some QoS only"],
  [rule({ qos: 1 }), "some QoS only"],
  [rule({ retain: "true" }), "a retain"],
  [rule({ topic: undefined }), "without a topic"],
  [rule({ topics: ["b"] }), "without a topic"],
  [rule({ topic: ["b"] }), "topics that are not text"],
  [rule({ ipaddr: "10.0.0.0/8" }), "a condition"],
  [rule({ clientid_re: "(a+)+$" }), "a condition"],
  [Array.from({ length: 10_000 }, () => rule({})[0]), "more than 100 rules"],
  [{ pub: Array.from({ length: 10_000 }, () => "a") }, "more than 100 rules"],
  [rule({ topic: undefined, topics: Array.from({ length: 10_000 }, () => "a") }), "more than 100 rules"],
])("%#: wrong, and why", (claim, why) => {
  expect(() => tokenRules(claim)).toThrow(why);
});
