/** `npm run user`, as an operator meets it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { expect, test } from "vitest";
import { readConfig } from "../../src/config.ts";

const USER = resolve(import.meta.dirname, "../../scripts/user.ts");

async function run(args: string[], input: string, users?: string) {
  const child = spawn(process.execPath, [USER, ...args], {
    env: { PATH: process.env["PATH"], ...(users !== undefined && { USERS: users }) },
  });
  let output = "";
  let errors = "";
  child.stdout.on("data", (text) => (output += text));
  child.stderr.on("data", (text) => (errors += text));
  child.stdin.end(input);
  const [code] = (await once(child, "close")) as [number];
  return { code, output, errors };
}

function accepts(users: string, username: string, password: string): boolean {
  try {
    const credentials = { username, password: new TextEncoder().encode(password) };
    return readConfig({ USERS: users }).authentication.identify(credentials) === username;
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

test("says what is wrong", async () => {
  expect(await run([], "x")).toMatchObject({ code: 1, output: "", errors: "Usage: npm run -s user -- <name>\n" });
  expect(await run(["a:b"], "x")).toMatchObject({ code: 1, errors: "The name must not contain a colon.\n" });
  expect(await run(["a"], "\n")).toMatchObject({ code: 1, errors: "The password is empty.\n" });
  expect(await run(["a"], "x", "users.json")).toMatchObject({ code: 1, errors: "USERS must be a JSON object.\n" });
  expect(await run(["a", "--iterations", "many"], "x")).toMatchObject({
    code: 1,
    errors: "iterations must be a whole number from 4096 to 100000.\n",
  });
});
