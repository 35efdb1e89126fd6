/** `npm run user`, as an operator meets it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { expect, test } from "vitest";
import { identify } from "../support/reception.ts";

const USER = resolve(import.meta.dirname, "../../scripts/user.ts");

async function run(args: string[], input: string | Buffer, users?: string, setting = "USERS") {
  const child = spawn(process.execPath, [USER, ...args], {
    env: { PATH: process.env["PATH"], ...(users !== undefined && { [setting]: users }) },
  });
  let output = "";
  let errors = "";
  child.stdout.on("data", (text) => (output += text));
  child.stderr.on("data", (text) => (errors += text));
  child.stdin.end(input);
  const [code] = (await once(child, "close")) as [number];
  return { code, output, errors };
}

function accepts(users: string, username: string, password: string, setting = "USERS"): boolean {
  try {
    const credentials = { username, password: new TextEncoder().encode(password) };
    return identify({ [setting]: users }, credentials) === username;
  } catch {
    return false;
  }
}

test("prints USERS with one user, and then with one more", async () => {
  const one = await run(["alice"], "pencil\n");
  expect([one.code, one.errors]).toEqual([0, ""]);
  expect(one.output).not.toContain("pencil");
  expect(accepts(one.output, "alice", "pencil")).toBe(true);
  const two = await run(["bob", "--iterations", "4096"], "eraser", one.output);
  expect(accepts(two.output, "alice", "pencil")).toBe(true);
  expect(accepts(two.output, "bob", "eraser")).toBe(true);
  const changed = await run(["alice"], "brush\r\n", two.output);
  expect(accepts(changed.output, "alice", "brush")).toBe(true);
  expect(accepts(changed.output, "alice", "pencil")).toBe(false);
  expect(accepts(changed.output, "bob", "eraser")).toBe(true);
});

test("prints a line of a password_file, which goes to the others or takes the place of its user's", async () => {
  const mosquitto = ["--format", "mosquitto"];
  const one = await run(["alice", ...mosquitto], "pencil\n");
  expect([one.code, one.errors]).toEqual([0, ""]);
  expect(one.output).toMatch(/^alice:\$7\$10000\$\S{16}\$\S{88}\n$/);
  const two = await run(["bob", "--iterations", "4096", ...mosquitto], "grün ", one.output, "PASSWORD_FILE");
  expect(two.output).toMatch(/^alice:\$7\$10000\$\S+\nbob:\$7\$4096\$\S+\n$/);
  const changed = await run(["alice", ...mosquitto], "brush", two.output, "PASSWORD_FILE");
  for (const [name, password, right] of [
    ["alice", "brush", true],
    ["alice", "pencil", false],
    ["bob", "grün ", true],
    ["bob", "grün", false],
  ] as const) {
    expect(accepts(changed.output, name, password, "PASSWORD_FILE")).toBe(right);
  }
});

test("says what is wrong", async () => {
  expect(await run([], "x")).toMatchObject({ code: 1, output: "", errors: "Usage: npm run -s user -- <name>\n" });
  expect(await run(["a:b"], "x")).toMatchObject({ code: 1, errors: "The name must not contain a colon.\n" });
  expect(await run(["a"], "\n")).toMatchObject({ code: 1, errors: "The password is empty.\n" });
  expect(await run(["a"], "x", "users.json")).toMatchObject({ code: 1, errors: "USERS must be a JSON object.\n" });
  expect(await run(["a", "--iterations", "many"], "x")).toMatchObject({
    code: 1,
    errors: "iterations must be a whole number from 4096 to 100000.\n",
  });
  expect(await run(["a", "--format", "passwd"], "x")).toMatchObject({
    code: 1,
    errors: "format must be one of users, mosquitto.\n",
  });
  const mosquitto = ["--format", "mosquitto"];
  expect(await run(["a", ...mosquitto], "")).toMatchObject({ code: 1, errors: "The password is empty.\n" });
  expect(await run(["a", ...mosquitto], Buffer.of(0xff, 0xfe, 0x0a))).toMatchObject({
    code: 1,
    output: "",
    errors: "The password is not UTF-8.\n",
  });
  expect(await run(["#a", ...mosquitto], "x")).toMatchObject({
    code: 1,
    errors: "the name must not begin like a comment\n",
  });
  expect(await run(["a", ...mosquitto], "x", "b:pencil", "PASSWORD_FILE")).toMatchObject({
    code: 1,
    output: "",
    errors: "PASSWORD_FILE has an error in its line 1: the password is plain text: mosquitto_passwd has to hash it.\n",
  });
});
