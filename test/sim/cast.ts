/**
 * Who takes part in a simulated trial: a few clients of any kind, and few topics, so that they meet. All of it comes from
 * a seed. A *pace* stretches the time of everything that clients do: fast trials find what needs messages that meet, slow
 * ones what needs delays, graces and expiries.
 */

import type { Random } from "../support/random.ts";
import type { Cast, Part } from "../trial/cast.ts";
import type { Profile } from "../trial/device.ts";
import { type Filter, NEVER, type Qos } from "../trial/history.ts";

/** The last two are long enough for a topic alias. */
const TOPICS = ["a/b", "a/c", "a/b/d", "e/b", "e", "f/g/h", "a/b/deeper", "sensors/1"] as const;
const FILTERS = [
  "#",
  "sensors/#",
  "a/#",
  "+/b",
  "a/b",
  "a/+",
  "+/+",
  "e/#",
  "e",
  "+",
  "f/#",
  "a/b/d",
  "+/g/h",
] as const;
const QOS: readonly (readonly Qos[])[] = [[0, 1, 2], [1, 2], [1], [2], [0]];
const RECEIVE_MAXIMA = [1, 2, 3, 10, 20, 65_535, 65_535] as const;
/** Enough that a message to all of them is a wide one. */
const CROWD = 34;
/** How long clients stay away: before, at and after delays, expiries and the grace of lost links. */
const ABSENCES_MS = [
  0, 0, 1, 30, 300, 900, 1_100, 3_000, 6_000, 8_000, 11_000, 39_000, 41_000, 59_000, 61_000, 65_000, 145_000,
] as const;

export function passersBy(random: Random, pace: number): Cast {
  const topics = some(TOPICS, 1 + random.below(4), random);
  const casting = new Casting(random, pace, topics);
  const parts = [
    casting.witness(),
    ...Array.from({ length: 2 + random.below(5) }, (_, i) => casting.part(`d${i + 1}`, i === 0)),
    ...(random.chance(0.02) ? Array.from({ length: CROWD }, (_, i) => casting.onlooker(`o${i + 1}`)) : []),
  ];
  const of = (wanted: (part: Part) => boolean): boolean => parts.some(wanted);
  return {
    parts,
    topics: {
      messages: topics,
      retained: of(({ publishes, profile }) => (publishes?.retain ?? 0) > 0 || profile.will?.retain === true)
        ? topics
        : [],
      wills: [],
    },
  };
}

class Casting {
  readonly #random: Random;
  readonly #pace: number;
  readonly #topics: readonly string[];

  constructor(random: Random, pace: number, topics: readonly string[]) {
    this.#random = random;
    this.#pace = pace;
    this.#topics = topics;
  }

  /** Is subscribed to everything, and comes back whenever it was lost. */
  witness(): Part {
    return {
      profile: {
        ...this.#plain("d0"),
        ...this.#receiveMaxima(),
        version: 5,
        expirySeconds: NEVER,
        filters: [{ filter: "#", qos: 2 }],
      },
    };
  }

  /** One of a crowd that wants to hear of one topic. */
  onlooker(clientId: string): Part {
    const qos = this.#random.of([0, 0, 1] as const);
    return { profile: { ...this.#plain(clientId), answerMs: 0, filters: [{ filter: this.#topics[0]!, qos }] } };
  }

  /** @param publishes in any case */
  part(clientId: string, publishes: boolean): Part {
    const random = this.#random;
    const profile = this.#profile(clientId);
    const five = profile.version === 5;
    const often = (ms: number): number => ms * this.#pace;
    return {
      profile,
      ...((publishes || random.chance(0.75)) && {
        publishes: {
          topics: some(this.#topics, 1 + random.below(this.#topics.length), random),
          qos: random.of(QOS),
          retain: random.of([0, 0, 0.1, 0.4]),
          everyMs: often(random.of([20, 60, 200])),
          burst: random.of([3, 3, 10, 20]),
          ...(five && random.chance(0.3) && { expirySeconds: [1, 3, 30] }),
        },
      }),
      ...(random.chance(0.6) && {
        leaves: { everyMs: often(random.of([200, 700])), awayMs: some(ABSENCES_MS, 4, random) },
      }),
      ...(random.chance(0.5) && { diesEveryMs: often(random.of([200, 600])) }),
      ...(random.chance(0.1) && { renewsEveryMs: often(1_000) }),
      ...(random.chance(0.4) && {
        fickle: {
          filters: [
            ...Array.from({ length: 1 + random.below(4) }, () => this.#filter(five)),
            ...profile.filters.map(({ filter }) => ({ ...this.#filter(five), filter })),
          ],
          everyMs: often(random.of([50, 200, 500])),
        },
      }),
    };
  }

  #profile(clientId: string): Profile {
    const random = this.#random;
    const version = random.of([4, 5, 5] as const);
    const five = version === 5;
    const filters = Array.from({ length: random.below(4) }, () => this.#filter(five));
    return {
      ...this.#plain(clientId),
      version,
      expirySeconds: five ? random.of([0, 1, 5, 60, 60, 3600, NEVER, NEVER]) : random.of([0, NEVER, NEVER]),
      receiveMaximum: five ? random.of(RECEIVE_MAXIMA) : 65_535,
      ...(five && this.#receiveMaxima()),
      filters: [...new Map(filters.map((filter) => [filter.filter, filter])).values()],
      ...(random.chance(0.75) && {
        will: {
          topic: random.of(this.#topics),
          qos: random.of([0, 1, 2, 2] as const),
          retain: random.chance(0.15),
          delaySeconds: five ? random.of([0, 0, 1, 10, 100]) : 0,
        },
      }),
      ...(five && { topicAliasMaximum: random.of([0, 0, 1, 10]), refuses: random.of([0, 0, 0.03]) }),
    };
  }

  /** Half of them take little in one connection, and much in the next. */
  #receiveMaxima(): Pick<Profile, "receiveMaxima"> {
    return this.#random.chance(0.5) ? { receiveMaxima: [1, 2, 3, 65_535, 65_535] } : {};
  }

  #plain(clientId: string): Profile {
    return {
      clientId,
      version: 5,
      transport: "tcp",
      expirySeconds: 0,
      receiveMaximum: 65_535,
      filters: [],
      answerMs: this.#random.of([0, 0, 5, 50, 300, 2_000]),
    };
  }

  #filter(five: boolean): Filter {
    const random = this.#random;
    const filter = {
      filter: random.chance(0.3) ? random.of(this.#topics) : random.of(FILTERS),
      qos: random.of([0, 1, 1, 2, 2]),
    };
    if (!five) return filter as Filter;
    return {
      ...filter,
      noLocal: random.chance(0.2),
      retainAsPublished: random.chance(0.2),
      retainHandling: random.of([0, 0, 1, 2]),
      ...(random.chance(0.5) && { identifier: 1 + random.below(5) }),
    } as Filter;
  }
}

function some<T>(choices: readonly T[], count: number, random: Random): T[] {
  const left = [...choices];
  return Array.from({ length: Math.min(count, left.length) }, () => left.splice(random.below(left.length), 1)[0]!);
}
