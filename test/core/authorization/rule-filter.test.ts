import { describe, expect, it } from "vitest";
import { RuleFilter, type Subject } from "../../../src/core/authorization/rule-filter.ts";

const SUBJECT: Subject = {
  user: "roger",
  clientId: "meter-7",
  claims: new Map([
    ["site", "north"],
    ["https://example.com/site", "south"],
  ]),
};

const placed = (filter: string, subject: Partial<Subject> = {}) => {
  const read = new RuleFilter(filter);
  return {
    allow: read.of({ ...SUBJECT, ...subject }, "allow"),
    deny: read.of({ ...SUBJECT, ...subject }, "deny"),
  };
};

describe("names in the filter of a rule", () => {
  it.each([
    ["a/+/#", "a/+/#"],
    ["users/%u/#", "users/roger/#"],
    ["%c", "meter-7"],
    ["/%c/", "/meter-7/"],
    ["%{site}/%u/%c/+", "north/roger/meter-7/+"],
    ["x/%{https://example.com/site}/y", "x/south/y"],
    ["dev-%c-%{site}/x", "dev-meter-7-north/x"],
    ["100%%/%%c/%%%c/%%", "100%/%c/%meter-7/%"],
    ["$SYS/clients/%c", "$SYS/clients/meter-7"],
  ])("%s is %s", (filter, expected) => {
    expect(placed(filter)).toEqual({ allow: expected, deny: expected });
  });

  it("is the same for all clients where it names nothing", () => {
    expect(new RuleFilter("a/%%u/#").constant).toBe("a/%u/#");
    expect(new RuleFilter("a/%u/#").constant).toBeUndefined();
  });

  it.each([
    ["", "is empty"],
    ["a/#/b", "continues after #"],
    ["a+", "has a wildcard inside a level"],
    ["%u+", "has a wildcard inside a level"],
    ["#%u", "continues after #"],
    ["%c/#/b", "continues after #"],
    ["a\0", "contains U+0000"],
    ["a/%x", "has a % that is none"],
    ["100%", "has a % that is none"],
    ["%{}", "has a % that is none"],
    ["%{site", "has a % that is none"],
    ["$share/g/a", "is a shared one"],
  ])("%j is none: it %s", (filter, problem) => {
    expect(() => new RuleFilter(filter)).toThrow(RangeError);
    expect(() => new RuleFilter(filter)).toThrow(problem);
  });
});

describe("names that mean something in a filter", () => {
  it.each([
    // value        allow          deny
    ["+", undefined, "users/+/x"],
    ["#", undefined, "users/+/x"],
    ["a+", undefined, "users/+/x"],
    ["a/#", undefined, "users/+/x"],
    ["a\0b", undefined, "users/+/x"],
    ["a/b", undefined, "users/a/b/x"],
    ["/", undefined, "users///x"],
    ["", undefined, undefined],
    ["$SYS", "users/$SYS/x", "users/$SYS/x"],
    ["%c", "users/%c/x", "users/%c/x"],
    ["..", "users/../x", "users/../x"],
  ])("%j gives nothing beyond its own level, and denies no less", (value, allow, deny) => {
    expect(placed("users/%c/x", { clientId: value })).toEqual({ allow, deny });
    expect(placed("users/%u/x", { user: value })).toEqual({ allow, deny });
    expect(placed("users/%{site}/x", { claims: new Map([["site", value]]) })).toEqual({ allow, deny });
  });

  it("that are missing give nothing and deny nothing", () => {
    const nothing = { allow: undefined, deny: undefined };
    expect(placed("users/%u/#", { user: undefined })).toEqual(nothing);
    expect(placed("users/%{age}/#")).toEqual(nothing);
    expect(placed("%c/%{age}")).toEqual(nothing);
  });

  it("[MQTT-4.7.2-1] with a $ at the beginning do not lead to the server's own topics", () => {
    expect(placed("%c/#", { clientId: "$SYS" })).toEqual({ allow: undefined, deny: "$SYS/#" });
    expect(placed("%c%u", { clientId: "$", user: "SYS" })).toEqual({ allow: undefined, deny: "$SYS" });
    expect(placed("x%c/#", { clientId: "$SYS" }).allow).toBe("x$SYS/#");
    expect(placed("/%c/#", { clientId: "$SYS" }).allow).toBe("/$SYS/#");
  });

  it("deny a whole level for it, whatever else is in the level", () => {
    expect(placed("a/dev-%c-x/b", { clientId: "#" })).toEqual({ allow: undefined, deny: "a/+/b" });
    expect(placed("%u/%c", { user: "a/b", clientId: "+" }).deny).toBe("a/b/+");
  });
});
