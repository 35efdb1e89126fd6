/** Topic filters once more, so that the broker is not judged by itself. */

/** Does a filter match a topic? Of a shared subscription what it shares does. */
export function matches(filter: string, topic: string): boolean {
  const levels = topic.split("/");
  const wanted = (sharedFilter(filter) ?? filter).split("/");
  for (const [at, level] of wanted.entries()) {
    if (level === "#") return true;
    if (at >= levels.length || (level !== "+" && level !== levels[at])) return false;
  }
  return wanted.length === levels.length;
}

/** The filter of `$share/<group>/<filter>`; undefined for a subscription that is not shared. */
export function sharedFilter(filter: string): string | undefined {
  return filter.startsWith("$share/") ? filter.split("/").slice(2).join("/") : undefined;
}
