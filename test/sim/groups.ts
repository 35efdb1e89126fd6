/**
 * Share groups among those who take part in a simulated trial. Each has a host, a session that goes on and is in the group
 * all the time, so that the group never ends; everybody else may be a member, for good or now and then.
 */

import type { Random } from "../support/random.ts";
import type { Cast, Part } from "../trial/cast.ts";
import { type Filter, NEVER, type Qos } from "../trial/history.ts";

const SHARED = ["#", "a/#", "+/b", "+/+", "e/#", "+"] as const;
const RECEIVE_MAXIMA = [1, 2, 10, 65_535] as const;
/** Who acknowledges late has much to leave behind when it goes. */
const ANSWERS_MS = [0, 5, 50, 2_000, 30_000, 30_000] as const;
/** Above those of other subscriptions. */
const IDENTIFIERS = 100;

/** A shared subscription of one group, on terms that depend on who has it. */
interface Group {
  readonly filter: string;
  readonly identifier: number;
  /** At QoS 0 what members have may be lost, so that less can be said of the whole group. */
  readonly takesQos0: boolean;
}

/** Of MQTT 3.1.1 only who subscribes to little else, because nothing tells which of two copies is which. */
export function sharing({ parts, topics }: Cast, count: number, pace: number, random: Random): Cast {
  const groups = Array.from({ length: count }, (_, i): Group => {
    const inner = random.chance(0.3) ? random.of(topics.messages) : random.of(SHARED);
    return { filter: `$share/g${i + 1}/${inner}`, identifier: IDENTIFIERS + i, takesQos0: random.chance(0.2) };
  });
  if (count === 0) return { parts, topics };
  const [witness, ...others] = parts;
  const hosts = groups.map((group, i) => host(`h${i + 1}`, group, pace, random));
  const more = Array.from({ length: 1 + random.below(3) }, (_, i) => guest(`m${i + 1}`, pace, random));
  const joined = [...others, ...more].map((part) => {
    return groups.reduce((one, group) => (random.chance(0.6) ? joins(one, group, random) : one), part);
  });
  return { parts: [...(witness ? [witness] : []), ...hosts, ...joined], topics };
}

function host(clientId: string, group: Group, pace: number, random: Random): Part {
  const version = random.of([4, 5] as const);
  const often = (ms: number): number => ms * pace;
  return {
    profile: {
      clientId,
      version,
      transport: "tcp",
      expirySeconds: NEVER,
      receiveMaximum: version === 5 ? random.of(RECEIVE_MAXIMA) : 65_535,
      filters: [share(group, random.of([1, 2, 2]), version, random)],
      answerMs: random.of(ANSWERS_MS),
      ...(version === 5 && { refuses: random.of([0, 0, 0.03]) }),
    },
    ...(random.chance(0.5) && { diesEveryMs: often(random.of([200, 600])) }),
    // MQTT 5 might say that its session is to end.
    ...(version === 4 &&
      random.chance(0.3) && { leaves: { everyMs: often(300), awayMs: [0, 30, 900, 3_000, 41_000] } }),
  };
}

/** Somebody who does nothing else. */
function guest(clientId: string, pace: number, random: Random): Part {
  const version = random.of([4, 5] as const);
  const often = (ms: number): number => ms * pace;
  return {
    profile: {
      clientId,
      version,
      transport: "tcp",
      expirySeconds: random.of([0, 0, NEVER, NEVER, ...(version === 5 ? [1, 60] : [])]),
      receiveMaximum: version === 5 ? random.of(RECEIVE_MAXIMA) : 65_535,
      filters: [],
      answerMs: random.of(ANSWERS_MS),
      ...(version === 5 && { refuses: random.of([0, 0, 0.03]) }),
    },
    ...(random.chance(0.5) && {
      leaves: { everyMs: often(random.of([200, 700])), awayMs: [0, 30, 900, 6_000, 41_000] },
    }),
    ...(random.chance(0.3) && { diesEveryMs: often(random.of([200, 600])) }),
  };
}

function joins(part: Part, group: Group, random: Random): Part {
  const { profile, fickle } = part;
  const { version, expirySeconds, filters } = profile;
  // A session that ends takes its messages of QoS 2 with it [MQTT-4.8.2-5], so it mostly has none.
  const qos = random.of(group.takesQos0 ? [0, 1, 2] : expirySeconds === NEVER || random.chance(0.1) ? [1, 2, 2] : [1]);
  const one = share(group, qos as Qos, version, random);
  const kept = version === 5 || random.chance(0.2) ? filters : filters.filter(({ filter }) => filter.startsWith("$"));
  // Now and then it leaves the group, and joins it again, on other terms perhaps.
  const wavers = random.chance(0.3) || (fickle && version === 5);
  const other = share(group, qos === 0 || random.chance(0.7) ? (qos as Qos) : 1, version, random);
  return {
    ...part,
    profile: { ...profile, filters: [...kept, one] },
    ...(version === 4 && fickle && !wavers && { fickle: { ...fickle, filters: [one] } }),
    ...(wavers && {
      fickle: {
        everyMs: fickle?.everyMs ?? 300,
        filters: [...(version === 5 ? (fickle?.filters ?? []) : []), one, other],
      },
    }),
  };
}

function share({ filter, identifier }: Group, qos: Qos, version: 4 | 5, random: Random): Filter {
  if (version === 4) return { filter, qos };
  return {
    filter,
    qos,
    retainAsPublished: random.chance(0.2),
    retainHandling: random.of([0, 0, 1, 2]),
    identifier,
  };
}
