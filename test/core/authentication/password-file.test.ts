/** Mosquitto's password_file, and `PASSWORD_FILE` as `readConfig` takes it. */
import { describe, expect, test } from "vitest";
import { readConfig } from "../../../src/config.ts";
import { readPasswordFile, writePasswordFile } from "../../../src/core/authentication/password-file.ts";
import { readPasswordHash } from "../../../src/core/authentication/password-hash.ts";
import { Reason } from "../../../src/mqtt/reason.ts";
import { MOSQUITTO, PASSWORD } from "../../support/mosquitto-passwords.ts";
import { identify } from "../../support/reception.ts";
import { usersSetting } from "../../support/users.ts";

const FILE = `meter-7:${MOSQUITTO.default}\nzoë:${MOSQUITTO.once}\na b:${MOSQUITTO.most}\n`;

describe("a file", () => {
  test("is read and written as mosquitto_passwd writes it", () => {
    const users = readPasswordFile(FILE);
    expect([...users.keys()]).toEqual(["meter-7", "zoë", "a b"]);
    expect(users.get("zoë")).toEqual(readPasswordHash(MOSQUITTO.once));
    expect(writePasswordFile(users)).toBe(FILE);
  });

  test.each([
    ["nothing", "", []],
    ["blank lines", "\n \t\n\n", []],
    ["a comment", `# meters\n#off:${MOSQUITTO.once}\nmeter-7:${MOSQUITTO.once}`, ["meter-7"]],
    ["a name that has the comment's sign elsewhere", `a#:${MOSQUITTO.once}`, ["a#"]],
    ["lines that end as on Windows", `a:${MOSQUITTO.once}\r\nb:${MOSQUITTO.once}\r\n`, ["a", "b"]],
    ["blanks around names and hashes", `\ta : ${MOSQUITTO.once} \n`, ["a"]],
    // To Mosquitto too: a comment begins its line.
    ["a blank before the comment's sign", ` #a:${MOSQUITTO.once}`, ["#a"]],
  ])("may have %s", (_what, text, names) => {
    expect([...readPasswordFile(text).keys()]).toEqual(names);
  });

  test.each([
    ["meter-8", "it must be a name, a colon and a hash"],
    [":", "the name must have 1 to 100 bytes"],
    [`:${MOSQUITTO.once}`, "the name must have 1 to 100 bytes"],
    [`${"x".repeat(101)}:${MOSQUITTO.once}`, "the name must have 1 to 100 bytes"],
    [`e\u0301:${MOSQUITTO.once}`, "the name must be written as SASLprep (RFC 4013) leaves it"],
    [`a\u0007:${MOSQUITTO.once}`, "the name must be written as SASLprep (RFC 4013) leaves it"],
    [`meter-7:${MOSQUITTO.once}`, "an earlier line has the same name"],
    ["meter-8:pencil", "the password is plain text: mosquitto_passwd has to hash it"],
    ["meter-8:", "the password is plain text: mosquitto_passwd has to hash it"],
    [`meter-8:x:${MOSQUITTO.once}`, "the password is plain text: mosquitto_passwd has to hash it"],
    [`meter-8:${MOSQUITTO.once}:x`, "the password is not hashed as mosquitto_passwd does it"],
    ["meter-8:$argon2id$v=19$m=47104,t=1,p=1$c2FsdA$aGFzaA", "the password is hashed with Argon2"],
    [`meter-8:${MOSQUITTO.owasp}`, "the password is hashed with more iterations than the 100000"],
  ])("may not have the line %s", (line, message) => {
    const text = `# meters\n\nmeter-7:${MOSQUITTO.default}\n${line}\nmeter-9:${MOSQUITTO.default}\n`;
    expect(() => readPasswordFile(text)).toThrow(`has an error in its line 4: ${message}`);
  });

  test.each([
    ["#a", "the name must not begin like a comment"],
    [" a", "the name must not begin or end with a space"],
    ["a ", "the name must not begin or end with a space"],
    ["a:b", "the name must not contain a colon"],
    ["a\nb", "the name must be written as SASLprep (RFC 4013) leaves it"],
  ])("cannot have the name %j written in it", (name, message) => {
    const users = new Map([[name, readPasswordHash(MOSQUITTO.once)]]);
    expect(() => writePasswordFile(users)).toThrow(new RangeError(message));
  });
});

describe("PASSWORD_FILE", () => {
  const password = (text: string): Uint8Array => new TextEncoder().encode(text);
  const badPassword = expect.objectContaining({ reason: Reason.BadUserNameOrPassword }) as Error;
  const notAuthorized = expect.objectContaining({ reason: Reason.NotAuthorized }) as Error;

  test("names who may connect, and with what password", () => {
    const env = { PASSWORD_FILE: `${FILE}bytes:${MOSQUITTO.bytes}\n` };
    expect(identify(env, { username: "meter-7", password: password(PASSWORD) })).toBe("meter-7");
    expect(identify(env, { username: "zoe\u0308", password: password(PASSWORD) })).toBe("zoë");
    expect(identify(env, { username: "bytes", password: Uint8Array.of(0xff, 0xfe) })).toBe("bytes");
    for (const username of ["meter-7", "zoë", "a b", "nobody"]) {
      expect(() => identify(env, { username, password: password("eraser") })).toThrow(badPassword);
    }
    expect(() => identify(env, { username: "nobody", password: password(PASSWORD) })).toThrow(badPassword);
    expect(() => identify(env, { username: "meter-7", password: undefined })).toThrow(badPassword);
    expect(() => identify(env, { username: undefined, password: undefined })).toThrow(notAuthorized);
  });

  test("stands beside USERS", () => {
    const env = { PASSWORD_FILE: FILE, USERS: usersSetting({ alice: "brush" }) };
    expect(identify(env, { username: "alice", password: password("brush") })).toBe("alice");
    expect(identify(env, { username: "meter-7", password: password(PASSWORD) })).toBe("meter-7");
    expect(() => identify(env, { username: "alice", password: password(PASSWORD) })).toThrow(badPassword);
  });

  test("may not have a user of USERS, whom it does not name", () => {
    expect(() => readConfig({ PASSWORD_FILE: FILE, USERS: usersSetting({ zoë: "brush" }) })).toThrow(
      /^PASSWORD_FILE is wrong: it has a user in its entry 2 that USERS has too$/,
    );
  });

  test("is what ALLOW_ANONYMOUS needs as well", () => {
    const nobody = { username: undefined, password: undefined };
    expect(identify({ PASSWORD_FILE: FILE, ALLOW_ANONYMOUS: "true" }, nobody)).toBeUndefined();
    expect(() => identify({ PASSWORD_FILE: FILE, ALLOW_ANONYMOUS: "false" }, nobody)).toThrow(notAuthorized);
  });

  test.each([
    ["", "it must have at least one user"],
    ["# nobody yet\n", "it must have at least one user"],
    [`a:${MOSQUITTO.once}\nb:pencil`, "it has an error in its line 2: the password is plain text"],
    ["pencil", "it has an error in its line 1: it must be a name, a colon and a hash"],
  ])("%j is an error that shows neither name nor password", (value, message) => {
    const read = () => readConfig({ PASSWORD_FILE: value });
    expect(read).toThrow(`PASSWORD_FILE is wrong: ${message}`);
    expect(read).not.toThrow("pencil");
  });
});
