/**
 * Is this a topic, is this a filter, and does the one match the other?
 *
 * Nothing is normalised [MQTT-4.7.3-4]: levels may be empty, `/a`, `a` and `a/` differ, and so do two Unicode forms of
 * the same letter. Publishing to `$…` is well-formed here; whether a client may is a question of authorization.
 */
import { MqttError, Reason } from "./reason.ts";
import { utf8Length } from "./utf8.ts";

export interface TopicLimits {
  /** In UTF-8; the protocol itself ends at 65,535 [MQTT-4.7.3-3]. */
  topicBytesMax: number;
  /** How many levels, so that the depth of the subscription trie is ours and not the client's. */
  topicLevelsMax: number;
}

const slash = 0x2f;
const plus = 0x2b;
const hash = 0x23;
const dollar = 0x24;
const sharePrefix = "$share/";

/** @throws MqttError TopicNameInvalid */
export function validateTopicName(topic: string, limits: TopicLimits): void {
  if (topic.length === 0) throw new MqttError(Reason.TopicNameInvalid, "a topic is empty"); // [MQTT-4.7.3-1]
  let levels = 1;
  for (let at = 0; at < topic.length; at++) {
    const unit = topic.charCodeAt(at);
    if (unit === slash) levels += 1;
    else if (unit === plus || unit === hash) {
      throw new MqttError(Reason.TopicNameInvalid, "a topic contains a wildcard"); // [MQTT-3.3.2-2], [MQTT-4.7.0-1]
    } else if (unit === 0) throw new MqttError(Reason.TopicNameInvalid, "a topic contains U+0000"); // [MQTT-4.7.3-2]
  }
  if (levels > limits.topicLevelsMax || isLonger(topic, limits.topicBytesMax)) {
    throw new MqttError(Reason.TopicNameInvalid, "a topic is longer or deeper than this server allows");
  }
}

/**
 * Accepts `$share/group/filter` too.
 *
 * @throws MqttError TopicFilterInvalid
 */
export function validateTopicFilter(filter: string, limits: TopicLimits): void {
  const plain = parseShare(filter)?.filter ?? filter;
  if (plain.length === 0) throw invalidFilter("is empty"); // [MQTT-4.7.3-1]
  let levels = 1;
  for (let at = 0; at < plain.length; at++) {
    const unit = plain.charCodeAt(at);
    if (unit === slash) {
      levels += 1;
    } else if (unit === 0) {
      throw invalidFilter("contains U+0000"); // [MQTT-4.7.3-2]
    } else if (unit === plus || unit === hash) {
      const opensLevel = at === 0 || plain.charCodeAt(at - 1) === slash;
      const last = at + 1 === plain.length;
      if (!opensLevel) throw invalidFilter("has a wildcard inside a level"); // [MQTT-4.7.1-1], [MQTT-4.7.1-2]
      if (unit === hash && !last) throw invalidFilter("continues after #"); // [MQTT-4.7.1-1]
      if (!last && plain.charCodeAt(at + 1) !== slash) throw invalidFilter("has a wildcard inside a level"); // [MQTT-4.7.1-2]
    }
  }
  if (levels > limits.topicLevelsMax || isLonger(filter, limits.topicBytesMax)) {
    throw invalidFilter("is longer or deeper than this server allows");
  }
}

/**
 * The two halves of `$share/group/filter`; `undefined` for an ordinary filter (which `$share` alone is, too). The inner
 * filter is checked for presence, not for its wildcards.
 *
 * @throws MqttError TopicFilterInvalid
 */
export function parseShare(filter: string): { group: string; filter: string } | undefined {
  if (!filter.startsWith(sharePrefix)) return undefined;
  const end = filter.indexOf("/", sharePrefix.length);
  const group = filter.slice(sharePrefix.length, end < 0 ? undefined : end);
  if (group.length === 0) throw invalidFilter("names no share group"); // [MQTT-4.8.2-1]
  if (hasWildcard(group)) throw invalidFilter("has a wildcard in its share group"); // [MQTT-4.8.2-2]
  if (end < 0 || end + 1 === filter.length) throw invalidFilter("shares nothing"); // [MQTT-4.8.2-2]
  return { group, filter: filter.slice(end + 1) };
}

export function hasWildcard(filter: string): boolean {
  return filter.includes("+") || filter.includes("#");
}

/** Both must be valid; `filter` without `$share/group/`. */
export function filterMatches(filter: string, topic: string): boolean {
  const first = filter.charCodeAt(0);
  // [MQTT-4.7.2-1]
  if (topic.charCodeAt(0) === dollar && (first === plus || first === hash)) return false;
  let f = 0;
  let t = 0;
  for (;;) {
    // Both at the start of a level.
    const unit = filter.charCodeAt(f);
    if (unit === hash) return true;
    if (unit === plus) {
      f += 1;
      while (t < topic.length && topic.charCodeAt(t) !== slash) t += 1;
    } else {
      while (f < filter.length && t < topic.length) {
        const wanted = filter.charCodeAt(f);
        if (wanted !== topic.charCodeAt(t)) return false;
        if (wanted === slash) break;
        f += 1;
        t += 1;
      }
    }
    const filterEnds = f === filter.length;
    if (t === topic.length) {
      // `sport/#` matches its parent `sport` (§4.7.1.2).
      return filterEnds || (f + 2 === filter.length && filter.endsWith("/#"));
    }
    if (filterEnds || filter.charCodeAt(f) !== slash || topic.charCodeAt(t) !== slash) return false;
    f += 1;
    t += 1;
  }
}

function isLonger(text: string, bytesMax: number): boolean {
  // A UTF-16 unit is at most three bytes, so most texts need no count.
  return text.length * 3 > bytesMax && utf8Length(text) > bytesMax;
}

function invalidFilter(what: string): MqttError {
  return new MqttError(Reason.TopicFilterInvalid, `a filter ${what}`);
}
