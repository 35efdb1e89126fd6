/** Who is asked, in which order, and what becomes of whom nobody knows. */
import { describe, expect, test } from "vitest";
import type { Authenticator } from "../../src/access/authenticator.ts";
import { CLOSED, OPEN_RECEPTION, Reception, type ReceptionConfig } from "../../src/access/reception.ts";
import { type Answer, identityOf } from "../../src/core/authentication/asking.ts";
import type { Credentials, Verdict } from "../../src/core/authentication/identity.ts";
import { OPEN_POLICY } from "../../src/core/authorization/policy.ts";
import { MqttError, Reason } from "../../src/mqtt/reason.ts";
import { NO_ARRIVAL } from "../support/reception.ts";

const NOBODY: Credentials = { arrival: NO_ARRIVAL, clientId: "c", username: undefined, password: undefined };
const SOMEBODY: Credentials = { ...NOBODY, username: "u", password: Uint8Array.of(1) };
const accepted = (user: string): Verdict => ({ type: "accepted", identity: identityOf(user) });
const refused: Verdict = { type: "refused", reason: Reason.BadUserNameOrPassword, detail: "wrong" };
const passed: Verdict = { type: "passed" };

/** Answers with a verdict, at once or later, and notes that it was asked. */
function asked(name: string, verdict: Verdict, notes: string[], isLater = false): Authenticator {
  return {
    name,
    authenticate: () => {
      notes.push(name);
      return isLater ? Promise.resolve(verdict) : verdict;
    },
  };
}

function reception(authenticators: readonly Authenticator[], more: Partial<ReceptionConfig> = {}): Reception {
  const config = { mechanisms: [], policy: OPEN_POLICY, allowAnonymous: false, clientIdsPerUser: true };
  return new Reception({ authenticators, ...config, ...more });
}

function identify(to: Reception, credentials: Credentials): Answer | Promise<Answer> {
  return to.answer({ type: "identify", credentials }, 0);
}

describe("authenticators", () => {
  test.each([false, true])("are asked in their order until one does not pass (later: %s)", async (isLater) => {
    const notes: string[] = [];
    const all = [
      asked("a", passed, notes, isLater),
      asked("b", accepted("b"), notes, isLater),
      asked("c", accepted("c"), notes, isLater),
    ];
    expect(await identify(reception(all), SOMEBODY)).toMatchObject({ type: "accepted", identity: { user: "b" } });
    expect(notes).toEqual(["a", "b"]);
  });

  test.each([false, true])("that refuse are not overruled, not even for nobody (later: %s)", async (isLater) => {
    const notes: string[] = [];
    const all = [asked("a", refused, notes, isLater), asked("b", accepted("b"), notes, isLater)];
    for (const credentials of [SOMEBODY, NOBODY]) {
      expect(await identify(reception(all, { allowAnonymous: true }), credentials)).toEqual(refused);
    }
    expect(notes).toEqual(["a", "a"]);
  });

  test("that answer at once are answered for at once", () => {
    const all = [asked("a", passed, []), asked("b", accepted("b"), [])];
    expect(identify(reception(all), SOMEBODY)).not.toBeInstanceOf(Promise);
  });

  test.each([
    ["throw", () => Promise.reject(new TypeError("no"))],
    [
      "throw at once",
      () => {
        throw new TypeError("no");
      },
    ],
  ])("that %s let nobody in", async (_, authenticate) => {
    const answer = await identify(reception([{ name: "broken", authenticate }], { allowAnonymous: true }), NOBODY);
    expect(answer).toMatchObject({ type: "refused", reason: Reason.UnspecifiedError });
  });
});

describe("whom nobody knows", () => {
  const all = [asked("a", passed, [])];

  test("is refused, and told no more than that if it said anything", () => {
    expect(identify(reception(all), SOMEBODY)).toMatchObject({ reason: Reason.BadUserNameOrPassword });
    expect(identify(reception(all), NOBODY)).toMatchObject({ reason: Reason.NotAuthorized });
  });

  test("is let in as nobody if that is allowed, and it says nothing of itself", () => {
    const open = reception(all, { allowAnonymous: true });
    expect(identify(open, NOBODY)).toEqual({ type: "accepted", identity: identityOf(undefined) });
    const sayings: Partial<Credentials>[] = [
      { username: "u" },
      { username: "" },
      { password: new Uint8Array(0) },
      { arrival: { ...NO_ARRIVAL, token: "x" } },
    ];
    for (const said of sayings) {
      expect(identify(open, { ...NOBODY, ...said })).toMatchObject({ reason: Reason.BadUserNameOrPassword });
    }
  });

  test("is let in whatever it says only where nobody is known at all", () => {
    expect(identify(OPEN_RECEPTION, SOMEBODY)).toEqual({ type: "accepted", identity: identityOf(undefined) });
  });

  test("is told that nobody may connect where nobody is configured", () => {
    const closed = reception([]);
    expect(closed.isClosed).toBe(true);
    for (const credentials of [NOBODY, SOMEBODY]) {
      expect(identify(closed, credentials)).toEqual({ type: "refused", reason: Reason.NotAuthorized, detail: CLOSED });
    }
  });
});

test("a mechanism's refusal is the client's, and its mistake is ours", async () => {
  const to = reception([]);
  const step = (exchange: () => never | Promise<never>): Answer | Promise<Answer> =>
    to.answer({ type: "step", exchange: { step: exchange }, data: undefined }, 0);
  const no = new MqttError(Reason.NotAuthorized, "no");
  const thrown = (error: Error) => () => {
    throw error;
  };
  expect(step(thrown(no))).toEqual({ type: "refused", reason: Reason.NotAuthorized, detail: "no" });
  expect(await step(() => Promise.reject(no))).toEqual({ type: "refused", reason: Reason.NotAuthorized, detail: "no" });
  expect(step(thrown(new TypeError("?")))).toMatchObject({ reason: Reason.UnspecifiedError });
});
