import { describe, expect, test } from "vitest";
import { identityOf } from "../../../src/core/authentication/asking.ts";
import { ScramSha256 } from "../../../src/core/authentication/scram.ts";
import { cryptography } from "../../../src/edge/cryptography.ts";
import { Reason } from "../../../src/mqtt/reason.ts";
import { ScramClient } from "../../support/scram.ts";
import { ITERATIONS, usersWith } from "../../support/users.ts";

const users = usersWith({ user: "pencil", "a,b=c": "pencil", é: "ñ\u00a0ﬁ" });
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
type Conversation = ReturnType<ScramSha256["begin"]>;
const begin = (): Conversation => new ScramSha256(users, cryptography).begin();

/** What the broker says to this, which has to be something to go on with. */
function said(exchange: Conversation, message: Uint8Array | undefined): string {
  const step = exchange.step(message);
  expect(step.type).toBe("continue");
  return Buffer.from(step.data ?? []).toString();
}

function authenticate(client: ScramClient): string {
  const exchange = begin();
  const step = exchange.step(client.final(bytes(said(exchange, client.first))));
  if (step.type !== "accepted") throw new Error("the exchange goes on");
  expect(Buffer.from(step.data!).toString()).toBe(client.signature);
  return step.identity.user!;
}

const badPassword = expect.objectContaining({ reason: Reason.BadUserNameOrPassword }) as Error;
const notAuthorized = expect.objectContaining({ reason: Reason.NotAuthorized }) as Error;

test("RFC 7677 §3: the example", () => {
  const exchange = new ScramSha256(users, cryptography, () => "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0").begin();
  expect(said(exchange, bytes("n,,n=user,r=rOprNGfwEbeRWgbNEkqO"))).toBe(
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
  );
  const final =
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
  expect(exchange.step(bytes(final))).toEqual({
    type: "accepted",
    identity: identityOf("user"),
    data: bytes("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="),
  });
});

describe("the client-first message", () => {
  test.each([
    ["a client that could bind the channel", "user", { header: "y,," }],
    ["an authorisation identity that is the user", "user", { header: "n,a=user," }],
    ["a name with a comma and an equals sign", "a=2Cb=3Dc", {}],
  ])("%s is taken", (_what, name, options) => {
    expect(authenticate(new ScramClient(name, "pencil", options))).toBe(name.replace("=2C", ",").replace("=3D", "="));
  });

  test("names and passwords are compared as SASLprep leaves them (RFC 4013)", () => {
    // The accent of its own, and the client prepared its password.
    expect(authenticate(new ScramClient("e\u0301", "ñ fi"))).toBe("é");
  });

  test.each([
    ["channel binding", "p=tls-unique,,n=user,r=a"],
    ["a mandatory extension", "n,,m=x,n=user,r=a"],
    ["another authorisation identity", "n,a=root,n=user,r=a"],
    ["no name", "n,,n=,r=a"],
    ["a name that is not escaped", "n,,n=a=b,r=a"],
    ["a name with a control character", "n,,n=a\u0007b,r=a"],
    ["no nonce", "n,,n=user"],
    ["an empty nonce", "n,,n=user,r="],
    ["a nonce with a space", "n,,n=user,r=a b"],
    ["no header", "n=user,r=a"],
    ["something else", "GET / HTTP/1.1"],
    ["nothing", ""],
    ["more than anyone needs", `n,,n=user,r=${"a".repeat(3_000)}`],
  ])("%s is refused with 0x87", (_what, message) => {
    expect(() => begin().step(bytes(message))).toThrow(notAuthorized);
  });

  test("bytes that are not UTF-8 are refused with 0x87", () => {
    expect(() => begin().step(Uint8Array.of(0x6e, 0xff))).toThrow(notAuthorized);
  });

  test("RFC 5802 §5.1: an optional extension is passed over", () => {
    expect(said(begin(), bytes("n,,n=user,r=a,x=y"))).toMatch(/^r=a/);
  });

  test("a client that names the method alone is asked to begin, once", () => {
    const exchange = begin();
    expect(exchange.step(undefined)).toEqual({ type: "continue", data: undefined });
    expect(() => exchange.step(undefined)).toThrow(notAuthorized);
  });
});

describe("the client-final message", () => {
  const client = new ScramClient("user", "pencil");

  function final(change: (message: string, serverFirst: string) => string): () => void {
    const exchange = begin();
    const serverFirst = said(exchange, client.first);
    const message = client.final(bytes(serverFirst)).toString();
    return () => void exchange.step(bytes(change(message, serverFirst)));
  }

  test("as it should be it is taken", () => {
    expect(final((message) => message)).not.toThrow();
  });

  test("a wrong password is refused with 0x86", () => {
    expect(() => authenticate(new ScramClient("user", "pencils"))).toThrow(badPassword);
  });

  test("the proof of another exchange is refused", () => {
    const other = begin();
    const proof = /p=.*/.exec(client.final(bytes(said(other, client.first))).toString())![0];
    expect(final((message) => message.replace(/p=.*/, proof))).toThrow(badPassword);
  });

  test.each([
    ["another nonce", (message: string) => message.replace(/r=[^,]+/, "r=rOprNGfwEbeRWgbNEkqO")],
    ["another header", (message: string) => message.replace("c=biws", "c=eSws")],
    ["no proof", (message: string) => message.replace(/,p=.*/, "")],
    ["a short proof", (message: string) => message.replace(/p=.*/, "p=AAAA")],
    ["a proof that is not base 64", (message: string) => message.replace(/p=.*/, "p=****")],
    ["nothing", () => ""],
  ])("%s is refused with 0x87", (_what, change) => {
    expect(final(change)).toThrow(notAuthorized);
  });
});

describe("a name that nobody has", () => {
  const salt = (name: string, of = users): string => {
    const exchange = new ScramSha256(of, cryptography).begin();
    return /s=([^,]+)/.exec(said(exchange, bytes(`n,,n=${name},r=a`)))![1]!;
  };

  test("has a salt like anybody's, the same each time and in each isolate", () => {
    expect(salt("nobody")).toBe(salt("nobody", usersWith({ user: "pencil", "a,b=c": "pencil", é: "ñ\u00a0ﬁ" })));
    expect(salt("nobody")).not.toBe(salt("nobody2"));
    expect(Buffer.from(salt("nobody"), "base64")).toHaveLength(16);
    expect(said(begin(), bytes("n,,n=nobody,r=a"))).toMatch(new RegExp(`,i=${ITERATIONS}$`));
  });

  test("is refused only when its proof is wrong, as a wrong password is", () => {
    expect(() => authenticate(new ScramClient("nobody", "pencil"))).toThrow(badPassword);
  });
});

test("the broker's nonces are random", () => {
  const nonces = Array.from({ length: 10 }, () => said(begin(), bytes("n,,n=user,r=a")));
  expect(new Set(nonces).size).toBe(10);
});
