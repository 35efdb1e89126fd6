/** Which tenant a client is in: what it came to, what its identity says, and what becomes of it if they differ. */
import { describe, expect, test } from "vitest";
import { Reception } from "../../../src/access/reception.ts";
import { identityOf } from "../../../src/core/authentication/asking.ts";
import type { Identity } from "../../../src/core/authentication/identity.ts";
import { RuledPolicy } from "../../../src/core/authorization/policy.ts";
import { Bans, type Ban } from "../../../src/core/bans/bans.ts";
import { Door } from "../../../src/core/bans/door.ts";
import { Flapping } from "../../../src/core/bans/flapping.ts";
import { Admission } from "../../../src/core/connection/admission.ts";
import type { Connect } from "../../../src/mqtt/codec.ts";
import { Reason } from "../../../src/mqtt/reason.ts";
import { NO_ARRIVAL } from "../../support/reception.ts";

const CONNECT = { version: 5, clientId: "c" } as Connect;
const another = expect.objectContaining({ reason: Reason.NotAuthorized, message: "this is another tenant's" }) as Error;

/** Of each tenant another one, where everybody may publish to a topic that is called as the tenant. */
function receptions(): Reception {
  const kept = new Map<string, Reception>();
  const ofTenant = (tenant: string): Reception => {
    const reception =
      kept.get(tenant) ??
      new Reception({
        authenticators: [],
        mechanisms: [],
        policy: new RuledPolicy([{ effect: "allow", actions: ["publish"], filter: tenant }]),
        allowAnonymous: true,
        clientIdsPerUser: true,
        ofTenant,
      });
    kept.set(tenant, reception);
    return reception;
  };
  return ofTenant("main");
}

function scene(bans: Ban[] = [], connects = 0) {
  const access = receptions();
  const door = new Door(new Bans(bans), new Flapping({ connects, seconds: 60, banSeconds: 300 }));
  return {
    /** A client has sent CONNECT. */
    comes(to: string | undefined): Admission {
      const admission = new Admission({ access, door, arrival: { ...NO_ARRIVAL, tenant: to }, tenant: "main" });
      admission.connect(CONNECT, "auto", 0);
      return admission;
    },
    /** It turns out to be a user, of the tenant that its identity says. */
    admitted(to: string | undefined, says: string | undefined): Admission {
      const admission = this.comes(to);
      admission.answered({ type: "accepted", identity: user(says) }, 0);
      return admission;
    },
  };
}

function user(tenant: string | undefined, name = "alice"): Identity {
  return { ...identityOf(name), tenant };
}

test.each<[to: string | undefined, says: string | undefined, tenant: string]>([
  [undefined, undefined, "main"],
  [undefined, "main", "main"],
  [undefined, "acme", "acme"],
  ["acme", undefined, "acme"],
  ["acme", "acme", "acme"],
  ["main", undefined, "main"],
  ["main", "main", "main"],
])("a client that comes to %s and is of %s is in %s, and may what that one's rules allow", (to, says, tenant) => {
  const admission = scene().admitted(to, says);
  expect(admission.tenant).toBe(tenant);
  for (const topic of ["main", "acme", "rival"]) {
    expect(admission.permissions.mayPublish(topic, false), topic).toBe(topic === tenant);
  }
});

test.each([
  ["acme", "rival"],
  ["acme", "main"],
  ["main", "acme"],
])("a client that comes to %s by path or host and is of %s may not come in", (to, says) => {
  expect(() => scene().admitted(to, says)).toThrow(another);
});

test("before it is known who it is, a client is where it came to", () => {
  const s = scene();
  expect([s.comes(undefined).tenant, s.comes("acme").tenant]).toEqual(["main", "acme"]);
});

test("re-authentication does not lead to another tenant", () => {
  const admission = scene().admitted(undefined, "acme");
  for (const says of ["rival", undefined, "main"]) {
    expect(() => admission.answered({ type: "accepted", identity: user(says) }, 1)).toThrow("as another user");
  }
  admission.answered({ type: "accepted", identity: user("acme") }, 1);
  expect(() =>
    scene()
      .admitted("acme", "acme")
      .answered({ type: "accepted", identity: user("rival") }, 1),
  ).toThrow(another);
});

test("what is heard later of a client leaves it where it is", () => {
  const admission = scene().admitted("acme", undefined);
  admission.confirmed({ ...admission.identity!, asOf: 7 }, 2);
  expect([admission.tenant, admission.permissions.mayPublish("acme", false)]).toEqual(["acme", true]);
});

describe("bans", () => {
  const of = (type: Ban["type"], value: string, tenant?: string): Ban => ({
    type,
    value,
    tenant,
    until: undefined,
    why: undefined,
  });

  test.each([of("user", "alice", "acme"), of("clientId", "c", "acme")])(
    "$type of a tenant: of nobody else's",
    (ban) => {
      const s = scene([ban]);
      expect(() => s.admitted("acme", undefined)).toThrow("banned");
      // Its tenant is known only when it is known who it is.
      expect(() => s.admitted(undefined, "acme")).toThrow("banned");
      s.admitted("rival", undefined);
      s.admitted(undefined, undefined);
    },
  );

  test.each([of("user", "alice"), of("clientId", "c")])("$type of none: of everybody who is called so", (ban) => {
    for (const to of [undefined, "acme", "rival"]) expect(() => scene([ban]).admitted(to, undefined)).toThrow("banned");
  });
});

test("who connects too often in one tenant keeps nobody out of another", () => {
  const s = scene([], 1);
  s.admitted("acme", undefined);
  expect(() => s.admitted("acme", undefined)).toThrow("too often");
  expect(() => s.admitted(undefined, "acme")).toThrow("too often");
  s.admitted("rival", undefined);
  s.admitted(undefined, undefined);
});
