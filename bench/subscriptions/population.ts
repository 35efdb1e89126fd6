/**
 * A million filters that could well meet in one shard, and topics that are published to it. The same on every run.
 *
 * | of a hundred | filter | |
 * |---|---|---|
 * | 35 | `devices/7341/state/battery` | literal; each device has ten of them |
 * | 25 | `site/12/building/3/floor/4/room/31/temperature` | literal, with long prefixes in common |
 * | 10 | `devices/7341/+/battery` | `+` in the middle |
 * | 8 | `site/12/building/+/floor/4/room/+/temperature` | `+` twice |
 * | 8 | `devices/7341/#` | `#` below one device |
 * | 4 | `site/12/building/3/#` | `#` below many |
 * | 10 | `plant/2/line/4/…/register/17`, 12 levels, a third with a `+` or a `#` | deep |
 *
 * and twenty that match very much, `#` and `site/+/building/#` among them. Several clients may have the same filter, as
 * chance will have it.
 */

export const SUBSCRIPTIONS = 1_000_000;
const TOPICS = 200_000;
/** Each has ten subscriptions. */
export const CLIENTS = SUBSCRIPTIONS / 10;

const KINDS = ["state", "config", "alarm", "command", "event"];
const FIELDS = ["battery", "signal", "uptime", "load", "errors", "temperature", "humidity", "door", "mode", "power"];
const BROAD = [
  "#",
  "+/#",
  "site/#",
  "devices/+/alarm/#",
  "devices/+/+/battery",
  "site/+/building/#",
  "site/+/building/+/floor/+/room/+/door",
  "plant/+/line/#",
  "+/+/+/errors",
  "plant/#",
];

export interface Population {
  /** The filter of each subscription; its client is its index modulo {@link CLIENTS}. */
  readonly filters: readonly string[];
  readonly topics: readonly string[];
}

export function population(): Population {
  const random = randomFrom(1);
  const below = (limit: number): number => Math.floor(random() * limit);
  const one = <T>(of: readonly T[]): T => of[below(of.length)]!;
  const device = (): string => `devices/${below(35_000)}`;
  const building = (): string => `site/${below(40)}/building/${below(25)}`;
  const room = (): string => `${building()}/floor/${below(10)}/room/${below(20)}`;
  const deep = (): string[] =>
    `plant/${below(5)}/line/${below(10)}/cell/${below(10)}/robot/${below(10)}/axis/${below(6)}/register/${below(30)}`.split(
      "/",
    );

  const filter = (): string => {
    const kind = below(100);
    if (kind < 35) return `${device()}/${one(KINDS)}/${one(FIELDS)}`;
    if (kind < 60) return `${room()}/${one(FIELDS)}`;
    if (kind < 70) return `${device()}/+/${one(FIELDS)}`;
    if (kind < 78) return `site/${below(40)}/building/+/floor/${below(10)}/room/+/${one(FIELDS)}`;
    if (kind < 86) return `${device()}/#`;
    if (kind < 90) return `${building()}/#`;
    const levels = deep();
    const variant = below(6);
    if (variant === 0) levels[3 + 2 * below(5)] = "+";
    if (variant === 1) levels.splice(8, Infinity, "#");
    return levels.join("/");
  };
  const topic = (): string => {
    const kind = below(100);
    if (kind < 50) return `${device()}/${one(KINDS)}/${one(FIELDS)}`;
    if (kind < 80) return `${room()}/${one(FIELDS)}`;
    if (kind < 90) return deep().join("/");
    return `nobody/${below(1_000_000)}/asked/for/this`;
  };
  const filters = Array.from({ length: SUBSCRIPTIONS }, (_, index) =>
    index < 2 * BROAD.length ? BROAD[index >> 1]! : filter(),
  );
  return { filters, topics: Array.from({ length: TOPICS }, topic) };
}

/** Uniform in [0, 1), from a seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
