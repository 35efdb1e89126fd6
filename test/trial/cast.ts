/**
 * Who takes part in a trial, and what each of them does all the time: publishers and subscribers of every kind that has
 * its own path through the broker. What a seed decides is transport, version where both will do, and who is slow.
 *
 * Topics are `t/<n>/x` for messages, `r/<n>/x` for retained ones and `w/<n>/x` for wills; the first two levels choose a
 * shard, so each kind is spread over all of them.
 */
import type { Random } from "../support/random.ts";
import type { Profile } from "./device.ts";
import { NEVER, type Filter, type Qos } from "./history.ts";
import type { RudeProfile } from "./rude.ts";

const TRANSPORTS = ["ws", "tcp"] as const;

const MESSAGE_TOPICS = topics("t", 8);
const RETAINED_TOPICS = topics("r", 6);
const WILL_TOPICS = topics("w", 4);

/** Topics by what is asked of them at the end: is everything delivered, and what is retained? */
export interface Topics {
  readonly messages: readonly string[];
  readonly retained: readonly string[];
  readonly wills: readonly string[];
}

export interface Cast {
  readonly parts: readonly Part[];
  /** Who breaks the protocol all the time. */
  readonly rude?: readonly RudeProfile[];
  readonly topics: Topics;
}

export interface Part {
  readonly profile: Profile;
  readonly publishes?: {
    readonly topics: readonly string[];
    readonly qos: readonly Qos[];
    /** How many of them are retained, of one. */
    readonly retain: number;
    /** Of some that are not. */
    readonly expirySeconds?: readonly number[];
    /** Time between two bursts, on average. */
    readonly everyMs?: number;
    /** The most in one of them. */
    readonly burst?: number;
  };
  /** Goes offline now and then, on average so often and so long. */
  readonly leaves?: { readonly everyMs: number; readonly awayMs: readonly number[] };
  /** Loses its connection in every way there is, which is what wills are for. */
  readonly diesEveryMs?: number;
  /** Starts clean now and then. */
  readonly renewsEveryMs?: number;
  /** Filters that it takes and gives up. */
  readonly fickle?: { readonly filters: readonly Filter[]; readonly everyMs?: number };
}

/** Everybody, as the torture has it. */
export function everybody(random: Random): Cast {
  const topics = { messages: MESSAGE_TOPICS, retained: RETAINED_TOPICS, wills: WILL_TOPICS };
  const rude = [{ clientId: "rude-0", everyMs: 200, willTopic: WILL_TOPICS[0]! }];
  return { parts: allParts(random), topics, rude };
}

function allParts(random: Random): Part[] {
  const everything = MESSAGE_TOPICS;
  const [t0, t1, t2, t3, t4, t5, t6, t7] = MESSAGE_TOPICS as [
    string,
    string,
    string,
    string,
    string,
    string,
    string,
    string,
  ];
  const retained = RETAINED_TOPICS;
  const member = (clientId: string, profile: Partial<Profile>): Profile => ({
    clientId,
    version: random.of([4, 5]),
    transport: random.of(TRANSPORTS),
    expirySeconds: NEVER,
    receiveMaximum: 65_535,
    filters: [],
    answerMs: random.of([0, 0, 5, 30]),
    ...profile,
  });
  return [
    { profile: member("pub-0", { version: 5 }), publishes: { topics: everything, qos: [1, 2], retain: 0 } },
    { profile: member("pub-1", { version: 4 }), publishes: { topics: everything, qos: [0, 1, 2], retain: 0 } },
    { profile: member("pub-2", {}), publishes: { topics: everything, qos: [2], retain: 0 } },
    {
      profile: member("pub-3", { version: 4, expirySeconds: 0 }),
      publishes: { topics: everything, qos: [0, 1, 2], retain: 0 },
    },
    {
      profile: member("pub-4", { version: 5, expirySeconds: 0 }),
      publishes: { topics: everything, qos: [1, 2], retain: 0 },
    },
    {
      profile: member("ret-0", { version: 5 }),
      publishes: { topics: retained.slice(0, 4), qos: [0, 1, 2], retain: 1 },
    },
    { profile: member("ret-1", { version: 4 }), publishes: { topics: retained.slice(2), qos: [1, 2], retain: 1 } },

    { profile: member("all-0", { version: 5, filters: [on("t/+/x", 2), on("w/+/x", 2)] }) },
    { profile: member("all-1", { version: 4, filters: [on("+/+/x", 1)] }) },
    { profile: member("one-0", { version: 5, receiveMaximum: 1, filters: [on(t1, 2), on("t/2/#", 1)], answerMs: 0 }) },
    { profile: member("few-0", { version: 5, receiveMaximum: 3, filters: [on("t/+/x", 2), on(t3, 1)], answerMs: 0 }) },
    { profile: member("clean-0", { version: 4, expirySeconds: 0, filters: [on("#", 2)] }) },
    {
      profile: member("clean-1", {
        version: 5,
        expirySeconds: 0,
        receiveMaximum: 10,
        filters: [on(t0, 1), on("t/5/+", 2)],
      }),
    },
    {
      profile: member("away-0", {
        version: 5,
        filters: [on("t/#", 2)],
        will: { topic: WILL_TOPICS[0]!, qos: 1, delaySeconds: 0 },
      }),
      leaves: { everyMs: 700, awayMs: [0, 50, 300, 1000] },
    },
    {
      profile: member("away-1", { version: 4, filters: [on(t4, 2), on(t6, 1)] }),
      leaves: { everyMs: 500, awayMs: [0, 100, 1500] },
    },
    {
      profile: member("away-2", { version: 5, receiveMaximum: 3, filters: [on("+/4/x", 2), on(t5, 1)], answerMs: 0 }),
      leaves: { everyMs: 1000, awayMs: [500, 3000] },
    },
    {
      // Mostly for the rest of the round, or until well after its grace at the shards.
      profile: member("away-3", { version: 4, filters: [on("t/#", 2), on("r/+/x", 1)] }),
      leaves: { everyMs: 2000, awayMs: [45_000] },
    },
    {
      profile: member("brief-0", { version: 5, expirySeconds: 2, filters: [on("t/+/x", 2)] }),
      leaves: { everyMs: 1500, awayMs: [0, 200, 600, 4000] },
    },
    {
      profile: member("fickle-0", { version: 5, filters: [on(t6, 2)] }),
      fickle: { filters: [on(t7, 1), on("t/+/x", 2), on("r/+/x", 1), on(retained[2]!, 2)] },
    },
    { profile: member("new-0", { version: 5, filters: [on("t/+/x", 2)] }), renewsEveryMs: 2500 },
    {
      profile: member("both-0", {
        version: 4,
        filters: [on(t2, 2), on("w/+/x", 2)],
        will: { topic: WILL_TOPICS[1]!, qos: 2, delaySeconds: 0 },
      }),
      publishes: { topics: [t2, t3], qos: [2], retain: 0 },
      leaves: { everyMs: 1500, awayMs: [0, 100] },
    },

    ...shareGroups(member),

    {
      profile: member("will-0", {
        version: 4,
        expirySeconds: 0,
        will: { topic: WILL_TOPICS[0]!, qos: 2, delaySeconds: 0 },
      }),
      diesEveryMs: 500,
    },
    {
      profile: member("will-1", {
        version: 5,
        expirySeconds: 0,
        will: { topic: WILL_TOPICS[1]!, qos: 1, delaySeconds: 0 },
      }),
      diesEveryMs: 400,
    },
    {
      profile: member("will-2", { version: 5, will: { topic: WILL_TOPICS[2]!, qos: 2, delaySeconds: 0 } }),
      diesEveryMs: 600,
    },
    {
      profile: member("will-3", { version: 5, will: { topic: WILL_TOPICS[3]!, qos: 2, delaySeconds: 2 } }),
      diesEveryMs: 900,
    },
  ];
}

/** Two groups that share everything, each with somebody who is in it all the time. */
function shareGroups(member: (clientId: string, profile: Partial<Profile>) => Profile): Part[] {
  const one = (qos: Qos): Filter => ({ ...on("$share/one/t/+/x", qos), identifier: 1 });
  const two = (qos: Qos): Filter => ({ ...on("$share/two/t/#", qos), identifier: 2 });
  return [
    { profile: member("share-0", { version: 5, filters: [one(2)], refuses: 0.01 }) },
    {
      profile: member("share-1", { version: 4, filters: [one(2)] }),
      leaves: { everyMs: 700, awayMs: [0, 50, 300, 1000] },
    },
    { profile: member("share-2", { version: 5, expirySeconds: 0, filters: [one(1)] }), diesEveryMs: 600 },
    { profile: member("share-3", { version: 4, filters: [two(1)], answerMs: 200 }) },
    {
      profile: member("share-4", { version: 5, receiveMaximum: 1, filters: [two(2)], answerMs: 0 }),
      fickle: { filters: [two(2), two(1)], everyMs: 400 },
    },
    {
      // In both, and subscribed for itself besides.
      profile: member("share-5", {
        version: 5,
        filters: [one(2), two(2), { ...on("t/1/x", 2), identifier: 3 }],
      }),
      leaves: { everyMs: 1500, awayMs: [0, 100, 3000] },
    },
  ];
}

function on(filter: string, qos: Qos): Filter {
  return { filter, qos };
}

function topics(first: string, count: number): string[] {
  return Array.from({ length: count }, (_, number) => `${first}/${number}/x`);
}
