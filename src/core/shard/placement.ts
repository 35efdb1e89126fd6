/**
 * Which topic shard owns a topic, and on which shards must a filter be known?
 *
 * A topic belongs to the shard given by a hash of its first `depth` levels (all of them when it has fewer). A filter
 * whose first `depth` levels are literal can match only topics that share those levels, so it lives on one shard; a
 * filter with a wildcard among them can match topics anywhere, so it lives on all. The rule that everything else
 * rests on: if a filter matches a topic, the topic's shard is one of the filter's.
 *
 * `a/#` also matches its parent `a` [§4.7.1.2]. That does no harm: either the `#` is among the first `depth` levels
 * (all shards), or the parent still has all `depth` of them and so the same hash.
 *
 * FROZEN. Stored rows depend on this mapping: a topic's log and retained message are where the hash has put them, so a
 * change of the function loses them. The hash is FNV-1a (32 bits) over the UTF-8 bytes of the levels and the `/`
 * between them, without the `/` after the last, followed by the finalizer of MurmurHash3 (`fmix32`), modulo `shards`.
 * FNV alone leaves its low bits weak (the lowest one is only the parity of the bytes' lowest bits), and the modulus
 * takes exactly those. UTF-8, and not the string's UTF-16, so that any other language finds the same shard.
 */

/** How a deployment divides its topic space. Fixed for the life of a deployment. */
export interface Placement {
  /** Number of topic shards, at least 1. With 1, order holds across all topics. */
  readonly shards: number;
  /** Number of leading topic levels that are hashed, at least 1. Topics that share them share a shard. */
  readonly depth: number;
}

const SLASH = 0x2f;
const PLUS = 0x2b;
const HASH = 0x23;

const SHARE_PREFIX = "$share/";

/** The shard, from 0 to `shards - 1`, that owns `topic`: a topic name, so without wildcards. Allocates nothing. */
export function shardOfTopic(topic: string, placement: Placement): number {
  return placement.shards === 1 ? 0 : hashOfLevels(topic, 0, placement.depth) % placement.shards;
}

/**
 * The shards, in ascending order, on which a subscription with `filter` must be known. `filter` must be valid;
 * `$share/<group>/<filter>` is placed by its inner filter, as it is the inner one that topics are matched with
 * [MQTT-4.8.2].
 */
export function shardsOfFilter(filter: string, placement: Placement): number[] {
  const { shards, depth } = placement;
  if (shards === 1) return [0];
  const start = startOfInnerFilter(filter);
  if (hasWildcardInLevels(filter, start, depth)) return Array.from({ length: shards }, (_, shard) => shard);
  return [hashOfLevels(filter, start, depth) % shards];
}

function startOfInnerFilter(filter: string): number {
  if (!filter.startsWith(SHARE_PREFIX)) return 0;
  return filter.indexOf("/", SHARE_PREFIX.length) + 1;
}

/** In a valid filter a wildcard character is always a whole level [MQTT-4.7.1-1, -2], so looking for one is enough. */
function hasWildcardInLevels(filter: string, start: number, depth: number): boolean {
  let levels = 0;
  for (let i = start; i < filter.length; i++) {
    const unit = filter.charCodeAt(i);
    if (unit === PLUS || unit === HASH) return true;
    if (unit === SLASH && ++levels === depth) return false;
  }
  return false;
}

/** The same hash of a whole text, as an unsigned 32-bit integer. */
export function hashOfText(text: string): number {
  return hashOfLevels(text, 0, Infinity);
}

/** Hash of the first `depth` levels of `text` from `start` on, as an unsigned 32-bit integer. */
function hashOfLevels(text: string, start: number, depth: number): number {
  let hash = 0x811c9dc5;
  let levels = 0;
  for (let i = start; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) {
      if (unit === SLASH && ++levels === depth) break;
      hash = addByte(hash, unit);
      continue;
    }
    let code = unit;
    if (unit >= 0xd800 && unit <= 0xdbff) {
      const low = text.charCodeAt(i + 1);
      if (low >= 0xdc00 && low <= 0xdfff) {
        code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
        i++;
      }
    }
    if (code < 0x800) {
      hash = addByte(hash, 0xc0 | (code >> 6));
    } else {
      if (code < 0x10000) {
        hash = addByte(hash, 0xe0 | (code >> 12));
      } else {
        hash = addByte(hash, 0xf0 | (code >> 18));
        hash = addByte(hash, 0x80 | ((code >> 12) & 0x3f));
      }
      hash = addByte(hash, 0x80 | ((code >> 6) & 0x3f));
    }
    hash = addByte(hash, 0x80 | (code & 0x3f));
  }
  return mix(hash);
}

/** One step of FNV-1a. */
function addByte(hash: number, byte: number): number {
  return Math.imul(hash ^ byte, 0x01000193);
}

/** `fmix32` of MurmurHash3: every bit of the input moves every bit of the output. */
function mix(hash: number): number {
  let h = hash;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
