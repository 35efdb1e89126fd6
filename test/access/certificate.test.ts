/** Certificates as the platform hands them on, and as somebody makes one who wants to be somebody else. */

import { pbkdf2Sync } from "node:crypto";
import { describe, expect, test } from "vitest";
import { receptionOf } from "../../src/access/receptions.ts";
import { readConfig } from "../../src/config.ts";
import type { Answer } from "../../src/core/authentication/asking.ts";
import type { Certificate } from "../../src/core/authentication/identity.ts";
import { certificateOf } from "../../src/edge/certificate.ts";
import { commonName } from "../../src/edge/distinguished-name.ts";
import { Reason } from "../../src/mqtt/reason.ts";
import { NO_ARRIVAL, NO_DIRECTORY, NO_NETWORK } from "../support/reception.ts";

const FINGERPRINT = "af363dc85bc942a892d3cee9796190fdb36d89cd588a4f1cb17c74a943439714";
const COLONS = FINGERPRINT.toUpperCase().replaceAll(/..(?=.)/g, "$&:");
const EXPIRES_AT = Date.UTC(2027, 0, 2, 3, 4, 5);
const NOW = Date.UTC(2026, 10, 24);

const PRESENTED = {
  certPresented: "1",
  certVerified: "SUCCESS",
  certRevoked: "0",
  certSubjectDN: "CN=meter-7, O=Mills",
  certSubjectDNRFC2253: "CN=meter-7,O=Mills",
  certFingerprintSHA256: FINGERPRINT.toUpperCase(),
  certNotAfter: "Jan  2 03:04:05 2027 GMT",
};

describe("what the platform says of a certificate", () => {
  test("is its common name, its fingerprint and its end", () => {
    expect(certificateOf(PRESENTED)).toEqual({
      commonName: "meter-7",
      fingerprint: FINGERPRINT,
      expiresAt: EXPIRES_AT,
    });
  });

  test.each([
    [{ certPresented: "0", certVerified: "NONE" }],
    [{ certVerified: "FAILED:self signed certificate" }],
    [{ certVerified: "FAILED" }],
    [{ certVerified: "NONE" }],
    [{ certVerified: "" }],
    [{ certVerified: "success" }],
    // A revoked one is verified too.
    [{ certRevoked: "1" }],
    [{ certRevoked: "" }],
    [{ certNotAfter: "" }],
    [{ certNotAfter: "soon" }],
  ])("is nothing with %o", (difference) => {
    expect(certificateOf({ ...PRESENTED, ...difference })).toBeUndefined();
  });

  test("is nothing where the platform says nothing", () => {
    expect(certificateOf(undefined)).toBeUndefined();
  });
});

describe("the common name of a subject", () => {
  test.each<[string, string]>([
    ["CN=meter-7,OU=Meters,O=Mills,C=DE", "meter-7"],
    ["C=DE,O=Mills,CN=meter-7", "meter-7"],
    ["cn=meter-7", "meter-7"],
    ["2.5.4.3=meter-7", "meter-7"],
    ["OID.2.5.4.3=meter-7,C=DE", "meter-7"],
    ["OU=Meters+CN=meter-7,O=Mills", "meter-7"],
    ["CN=Müller", "Müller"],
    [String.raw`CN=M\C3\BCller`, "Müller"],
    [String.raw`CN=\F0\9F\90\AD`, "🐭"],
    [String.raw`CN=Mills\, Inc.`, "Mills, Inc."],
    [String.raw`CN=a\2Cb\+c\"d\\e`, 'a,b+c"d\\e'],
    [String.raw`CN=\#1`, "#1"],
    [String.raw`CN=\ a\ `, " a "],
    ["CN=a=b", "a=b"],
    ["CN=", ""],
    // What looks like another attribute is a part of this one's value.
    [String.raw`O=x\,CN=admin,CN=meter-7`, "meter-7"],
    [String.raw`CN=meter-7\,CN=admin`, "meter-7,CN=admin"],
    [String.raw`CN=meter-7\\,O=Mills`, "meter-7\\"],
  ])("of %s is %s", (subject, name) => {
    expect(commonName(subject)).toBe(name);
  });

  test.each([
    "",
    "O=Mills",
    "CN=meter-7,CN=admin",
    "CN=meter-7,O=Mills,cn=admin",
    "CN=meter-7+CN=admin",
    "CN=meter-7,2.5.4.3=admin",
    "CN=meter-7;commonName=admin",
    // Not as RFC 2253 is written, so that nobody knows where a value ends.
    'O="x, CN=admin",CN=meter-7',
    'CN="admin"',
    "/C=DE/O=Mills/CN=admin",
    "CN=admin,",
    "CN=admin,O",
    "CN=admin\\",
    ",CN=admin",
    "CN=<admin>",
    // No text: DER, or bytes that are not UTF-8.
    "CN=#0405",
    String.raw`CN=\FF`,
    String.raw`CN=\C3`,
    // An escape that would split what is one character.
    "XCN=admin",
    "CN.1=admin",
  ])("of %s is none", (subject) => {
    expect(commonName(subject)).toBeUndefined();
  });
});

interface Said {
  readonly username?: string;
  readonly password?: string;
}

function answer(env: Record<string, string>, certificate: Partial<Certificate> | undefined, said: Said = {}): Answer {
  const arrival = {
    ...NO_ARRIVAL,
    certificate: certificate && {
      commonName: "meter-7",
      fingerprint: FINGERPRINT,
      expiresAt: EXPIRES_AT,
      ...certificate,
    },
  };
  const { username, password } = said;
  const credentials = {
    arrival,
    clientId: "client",
    username,
    password: password === undefined ? undefined : new TextEncoder().encode(password),
  };
  const reception = receptionOf(readConfig(env).access, NO_NETWORK, () => NO_DIRECTORY);
  return reception.answer({ type: "identify", credentials }, NOW) as Answer;
}

const accepted = (user: string | undefined) =>
  expect.objectContaining({ type: "accepted", identity: expect.objectContaining({ user }) as object });
const refused = (reason: Reason) => expect.objectContaining({ type: "refused", reason });

const BY_NAME = { CERTIFICATE_USERS: "common-name" };
const BY_FINGERPRINT = { CERTIFICATE_USERS: JSON.stringify({ [COLONS]: "mill" }) };

describe("a client with a certificate", () => {
  test("is the user that its subject names, until the certificate ends", () => {
    expect(answer(BY_NAME, {})).toMatchObject({ identity: { user: "meter-7", expiresAt: EXPIRES_AT } });
  });

  test("is the user whose fingerprint it is, whatever its subject says", () => {
    expect(answer(BY_FINGERPRINT, { commonName: "admin" })).toMatchObject({
      identity: { user: "mill", expiresAt: EXPIRES_AT },
    });
    const other = FINGERPRINT.replace(/^./, "0");
    expect(answer(BY_FINGERPRINT, { commonName: "mill", fingerprint: other })).toEqual(refused(Reason.NotAuthorized));
  });

  test.each([
    ["none", undefined],
    ["an empty one", ""],
    ["a colon", "meter:7"],
    ["a control character", "meter\n7"],
    ["a zero", "meter\0"],
    ["wide letters, which SASLprep makes narrow", "ａｄｍｉｎ"],
    ["a character of no width", "admin\u200b"],
    ["an é of two characters", "ade\u0301le"],
    ["letters that are shown the other way round", "\u202enimda"],
    ["more than a name may have", "m".repeat(101)],
  ])("whose common name is %s is nobody", (_what, name) => {
    expect(answer(BY_NAME, { commonName: name })).toEqual(refused(Reason.NotAuthorized));
  });

  test("whose common name looks like another one is somebody else", () => {
    expect(answer(BY_NAME, { commonName: "аdmin" })).toEqual(accepted("аdmin"));
    expect("аdmin").not.toBe("admin");
  });

  test("that has ended is nobody", () => {
    expect(answer(BY_NAME, { expiresAt: NOW })).toEqual(refused(Reason.NotAuthorized));
  });

  test("is not looked at where that is not set", () => {
    expect(answer({ ALLOW_ANONYMOUS: "true" }, {})).toEqual(accepted(undefined));
    expect(answer({}, {})).toEqual(refused(Reason.NotAuthorized));
  });
});

describe("a certificate together with", () => {
  // alice's password is "pencil", as Mosquitto hashes it with one iteration.
  const salt = Buffer.from("0123456789ab");
  const hash = pbkdf2Sync("pencil", salt, 1, 64, "sha512").toString("base64");
  const both = { ...BY_NAME, PASSWORD_FILE: `alice:$7$1$${salt.toString("base64")}$${hash}` };

  test("its own user name, and any password, is enough", () => {
    expect(answer(both, {}, { username: "meter-7" })).toEqual(accepted("meter-7"));
    expect(answer(both, {}, { username: "meter-7", password: "x" })).toEqual(accepted("meter-7"));
    expect(answer(both, {}, { username: "", password: "" })).toEqual(accepted("meter-7"));
  });

  test("the name of another user takes that user's password", () => {
    expect(answer(both, {}, { username: "alice", password: "pencil" })).toEqual(accepted("alice"));
    expect(answer(both, {}, { username: "alice", password: "pen" })).toEqual(refused(Reason.BadUserNameOrPassword));
    expect(answer(both, {}, { username: "alice" })).toEqual(refused(Reason.BadUserNameOrPassword));
    expect(answer(BY_NAME, {}, { username: "alice" })).toEqual(refused(Reason.BadUserNameOrPassword));
  });

  test("leave for everybody to come is, if it is nobody's, as good as none", () => {
    const open = { ...BY_FINGERPRINT, ALLOW_ANONYMOUS: "true" };
    expect(answer(open, { fingerprint: FINGERPRINT.replace(/^./, "0") })).toEqual(accepted(undefined));
    expect(answer(open, {})).toEqual(accepted("mill"));
  });
});

describe("CERTIFICATE_USERS", () => {
  test.each([
    ["common name", 'must be "common-name" or a JSON object'],
    ["[]", 'must be "common-name" or a JSON object'],
    ["{}", "must have at least one certificate"],
    [`{"${FINGERPRINT.slice(1)}":"a"}`, "entry 1: the fingerprint must be a SHA-256"],
    [`{"${FINGERPRINT}${FINGERPRINT}":"a"}`, "entry 1: the fingerprint must be a SHA-256"],
    [`{"${COLONS.replace(":", "")}":"a"}`, "entry 1: the fingerprint must be a SHA-256"],
    [`{"${FINGERPRINT}":"a","${COLONS}":"b"}`, "entry 2: an earlier one has the same fingerprint"],
    [`{"${FINGERPRINT}":"a:b"}`, "entry 1: the user must not contain a colon"],
    [`{"${FINGERPRINT}":7}`, "entry 1: the user must be a string"],
  ])("%s is an error, which does not show it", (value, message) => {
    expect(() => readConfig({ CERTIFICATE_USERS: value })).toThrow(message);
    expect(() => readConfig({ CERTIFICATE_USERS: value })).toThrow("CERTIFICATE_USERS is wrong");
  });
});
