/** The bans that keep the core free of I/O are only as good as their configuration: each must fire on what it bans. */
import { execFile } from "node:child_process";
import { copyFile, cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

const banned = [
  "Date.now()",
  "new Date()",
  "performance.now()",
  "Math.random()",
  "crypto.randomUUID()",
  "setTimeout(() => {}, 1)",
  "setInterval(() => {}, 1)",
  "queueMicrotask(() => {})",
  "fetch('http://localhost')",
  "new WebSocket('ws://localhost')",
  "console.log(1)",
  "process.env",
  "globalThis.Date",
];

const imports: [folder: string, specifier: string, verdict: "may" | "may not"][] = [
  ["src/core", "../mqtt/message.ts", "may"],
  ["src/core", "../link/records.ts", "may"],
  ["src/core", "../edge/driver.ts", "may not"],
  ["src/core", "../config.ts", "may not"],
  ["src/core", "node:crypto", "may not"],
  ["src/core", "zod", "may not"],
  ["src/core/connection", "../shard/placement.ts", "may"],
  ["src/core/connection", "../../mqtt/codec.ts", "may"],
  ["src/core/connection", "../../objects/shard.ts", "may not"],
  ["src/core/connection", "cloudflare:workers", "may not"],
  ["src/mqtt", "mqtt-packet", "may"],
  ["src/mqtt", "./packet.ts", "may"],
  ["src/mqtt", "../core/limits.ts", "may not"],
  ["src/mqtt", "node:buffer", "may not"],
  ["src/link", "../mqtt/message.ts", "may"],
  ["src/link", "../objects/sql.ts", "may not"],
  ["src/edge", "../core/connection/connection.ts", "may"],
  ["src/edge", "cloudflare:workers", "may"],
];

const folders = ["src/core", "src/core/connection", "src/mqtt", "src/link"];
const forgetful =
  "export function f(k: 'a' | 'b') {\n  switch (k) {\n    case 'a':\n      return 1;\n  }\n  return 2;\n}\n";

const root = resolve(import.meta.dirname, "../..");
let project: string;
/** What one run of oxlint finds wrong with all fixtures, a line of `path:line:column: message [severity/rule]` each. */
let problems: string[];

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), "dormouse-lint-"));
  for (const file of [".oxlintrc.json", "tsconfig.base.json", "tsconfig.json"]) {
    await copyFile(join(root, file), join(project, file));
  }
  await cp(join(root, "scripts/lint"), join(project, "scripts/lint"), { recursive: true });
  await symlink(join(root, "node_modules"), join(project, "node_modules"));

  for (const folder of folders)
    await write(
      `${folder}/banned.ts`,
      banned.map((use, i) => `export const a${i} = ${use};`),
    );
  for (const [i, [folder, specifier]] of imports.entries()) {
    await write(`${folder}/import${i}.ts`, [
      `import { a } from "${specifier}";\nexport const used = a;`,
      `export { b } from "${specifier}";`,
      `export const later = () => import("${specifier}");`,
    ]);
  }
  await write("scripts/floating.ts", ["async function f(): Promise<void> {}", "f();"]);
  await write("scripts/forgetful.ts", [forgetful]);

  const oxlint = join(root, "node_modules/oxlint/bin/oxlint");
  const args = [oxlint, "--type-aware", "-f", "unix", "src", "scripts"];
  problems = await new Promise((done) => {
    execFile(process.execPath, args, { cwd: project }, (_error, output) => done(output.split("\n")));
  });
}, 30_000);

afterAll(() => rm(project, { recursive: true, force: true }));

async function write(path: string, lines: string[]): Promise<void> {
  await mkdir(dirname(join(project, path)), { recursive: true });
  await writeFile(join(project, path), lines.join("\n") + "\n");
}

function found(path: string, rule: string): string[] {
  return problems.filter((line) => line.startsWith(`${path}:`) && line.includes(rule));
}

test.each(folders)("%s sees no clock, chance, timer, socket or console", (folder) => {
  const lines = found(`${folder}/banned.ts`, "eslint(no-restricted-").map((line) => Number(line.split(":")[1]));
  expect(lines.toSorted((a, b) => a - b)).toEqual(banned.map((_, i) => i + 1));
});

test.each(imports.map(([folder, specifier, verdict], i) => ({ folder, specifier, verdict, i })))(
  "$folder $verdict import $specifier",
  ({ folder, verdict, i }) => {
    expect(found(`${folder}/import${i}.ts`, "layers(imports)")).toHaveLength(verdict === "may" ? 0 : 3);
  },
);

test("a promise that nobody awaits is found", () => {
  expect(found("scripts/floating.ts", "no-floating-promises")).toHaveLength(1);
});

test("a switch that forgets a case is found", () => {
  expect(found("scripts/forgetful.ts", "switch-exhaustiveness-check")).toHaveLength(1);
});
