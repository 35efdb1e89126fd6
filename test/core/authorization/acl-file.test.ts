import { describe, expect, it } from "vitest";
import { AclFileError, readAclFile } from "../../../src/core/authorization/acl-file.ts";
import { RuledPolicy } from "../../../src/core/authorization/policy.ts";
import { ACTIONS } from "../../../src/core/authorization/rule.ts";

const READ = { effect: "allow", actions: ["subscribe"] };
const WRITE = { effect: "allow", actions: ["publish", "retain", "will"] };
const READWRITE = { effect: "allow", actions: [...ACTIONS] };
const DENY = { effect: "deny", actions: [...ACTIONS] };

describe("mosquitto's acl_file", () => {
  it("has topics of nobody, then of users, and patterns of everybody wherever they stand", () => {
    const text = [
      "# Everybody's, at first sight:",
      "topic read news/#",
      "pattern write devices/%c/state",
      "",
      "user roger",
      "topic rooms/#",
      "topic deny rooms/attic",
      "pattern read users/%u/+",
      "user ann",
      "topic write rooms/1",
      "",
    ].join("\n");
    expect(readAclFile(text)).toEqual([
      { ...READ, filter: "news/#", anonymous: true },
      { ...WRITE, filter: "devices/%c/state" },
      { ...READWRITE, filter: "rooms/#", user: "roger" },
      { ...DENY, filter: "rooms/attic", user: "roger" },
      { ...READ, filter: "users/%u/+" },
      { ...WRITE, filter: "rooms/1", user: "ann" },
    ]);
  });

  it.each([
    ["topic a", "a"],
    ["topic readwrite a", "a"],
    ["   topic   a   ", "a"],
    ["topic readwrite   a b  c \t", "a b  c"],
    ["topic readwrite \t a", "a"],
    ["topic a\tb", "a\tb"],
    ["topic a\r", "a"],
    ["topic read", "read"],
    ["topic deny", "deny"],
    ["topic #", "#"],
    ["topic readwrite #", "#"],
    ["topic $SYS/#", "$SYS/#"],
    ["topic 100%/%c/%u/%%", "100%%/%%c/%%u/%%%%"],
  ])("%j is about %s", (line, filter) => {
    expect(readAclFile(line)).toEqual([{ ...READWRITE, filter, anonymous: true }]);
  });

  it.each([
    ["pattern a/%c/%u/#", "a/%c/%u/#"],
    ["pattern %c", "%c"],
    ["pattern 100%/%d/%%", "100%%/%%d/%%%%"],
    ["pattern %{x}", "%%{x}"],
    ["pattern read all", "all"],
  ])("%j is %s for everybody", (line, filter) => {
    expect(readAclFile(line)).toEqual([{ ...(line.includes("read") ? READ : READWRITE), filter }]);
  });

  it.each([
    ["user roger", "roger"],
    ["user   roger moore ", "roger moore"],
    ["user ro\u00adger", "roger"],
    ["user cafe\u0301", "caf\u00e9"],
  ])("%j is %s, as it connects", (line, user) => {
    expect(readAclFile(`${line}\r\ntopic a\r\n`)).toEqual([{ ...READWRITE, filter: "a", user }]);
  });

  it("of comments and empty lines only allows nothing", () => {
    expect(readAclFile("# a\n\n   \n#topic #\n\r\n")).toEqual([]);
    expect(readAclFile("")).toEqual([]);
  });

  it.each([
    ["topic", "names no topic"],
    ["pattern  ", "names no topic"],
    ["topic a b", "has an access that is none of read, write, readwrite and deny"],
    ["topic READ a", "has an access that is none"],
    ["topic read a/#/b", "has a topic that continues after #"],
    ["topic read a+", "has a topic that has a wildcard inside a level"],
    ["topic # # all", "has an access that is none"],
    ["topic read a\0b", "has a topic that contains U+0000"],
    ["topic read $share/g/a", "has a topic that is a shared one"],
    ["pattern read dev-%c/x", "has %c or %u beside other text in a level"],
    ["pattern deny a/%u.", "has %c or %u beside other text in a level"],
    ["pattern read %c%u", "has %c or %u beside other text in a level"],
    ["pattern read a/%%c", "has %c or %u beside other text in a level"],
    ["user", "names no user"],
    ["user  \t", "names no user"],
    ["user a:b", "has a name that no user can have"],
    ["user \u00ad", "has a name that no user can have"],
    ["user a\0", "has a name that no user can have"],
    [" # a comment", "begins with none of topic, pattern, user and #"],
    ["Topic a", "begins with none of"],
    ["topic\tread a", "begins with none of"],
    ["topics a", "begins with none of"],
    ["\ufefftopic a", "begins with none of"],
  ])("%j is an error: it %s", (line, problem) => {
    const read = () => readAclFile(`# first\n\n${line}\nnor this`);
    expect(read).toThrow(AclFileError);
    expect(read).toThrow(expect.objectContaining({ line: 3, problem: expect.stringContaining(problem) }));
    expect(read).toThrow(`line 3 ${problem}`);
  });

  it("an error shows nothing of the file", () => {
    for (const line of [
      "topic hush secret",
      "user se:cret",
      "secret",
      "pattern secret%c",
      "topic secret+",
      "topic $share/g/secret",
    ]) {
      expect(() => readAclFile(line)).toThrow(
        expect.objectContaining({ message: expect.not.stringContaining("secret") }),
      );
    }
  });
});

describe("what its rules allow", () => {
  const policy = new RuledPolicy(
    readAclFile(
      [
        "topic read public/#",
        "user roger",
        "topic readwrite rooms/#",
        "topic deny rooms/attic",
        "pattern readwrite clients/%c/#",
        "pattern deny rooms/%u",
        "pattern write users/%u/in",
      ].join("\n"),
    ),
  );
  const client = (user: string | undefined, clientId = "c1") =>
    policy.of({ user, clientId, claims: new Map(), rules: [] });

  it("topics before the first user are not those of users", () => {
    expect(client(undefined).maySubscribe("public/x")).toBe(true);
    expect(client("roger").maySubscribe("public/x")).toBe(false);
    expect(client("ann").maySubscribe("public/x")).toBe(false);
  });

  it("read is not write", () => {
    expect(client(undefined).mayPublish("public/x", false)).toBe(false);
    expect([client("ann").mayPublish("users/ann/in", true), client("ann").maySubscribe("users/ann/in")]).toEqual([
      true,
      false,
    ]);
    expect(client("ann").mayWill("users/ann/in", true)).toBe(true);
  });

  it("deny holds against what is allowed, and a pattern's against a user's own topics", () => {
    const roger = client("roger");
    expect([roger.mayPublish("rooms/1", false), roger.mayPublish("rooms/attic", false)]).toEqual([true, false]);
    expect(roger.mayPublish("rooms/roger", false)).toBe(false);
    expect([roger.maySubscribe("rooms/#"), roger.maySubscribe("rooms/1/#")]).toEqual([false, true]);
  });

  it.each(["+", "#", "a/b", "c1/#"])("the client id %j gets nothing from a pattern that names it", (clientId) => {
    const may = client("ann", clientId);
    expect(["clients/#", "clients/+/#", "clients/a/b", "clients/c1/x"].some((filter) => may.maySubscribe(filter))).toBe(
      false,
    );
    expect(may.mayPublish("users/ann/in", false)).toBe(true);
  });

  it("% in a topic is nothing but itself", () => {
    const may = new RuledPolicy(readAclFile("topic a/%c")).of({
      user: undefined,
      clientId: "c1",
      claims: new Map(),
      rules: [],
    });
    expect([may.mayPublish("a/%c", false), may.mayPublish("a/c1", false)]).toEqual([true, false]);
  });
});
