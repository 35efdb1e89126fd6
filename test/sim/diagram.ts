/**
 * What happened, as a sequence diagram in text: a column for each party, time downwards, and what was said at the right.
 *
 *       ms   d2       d2.4     shard 0
 *     1400   ●        │        │         publish "d2#4" on a/b, QoS 2, retained, id 18
 *     1405   ├───────▶│        │         PUBLISH
 *     1438   │        ├───────▶│         HELLO, PUBLISH
 */

export interface Line {
  readonly ms: number;
  /** A party; undefined for what concerns everybody. */
  readonly from: string | undefined;
  /** Another party, or the same for what it does by itself. */
  readonly to: string | undefined;
  readonly text: string;
}

const TIME_WIDTH = 9;
const TEXT_MAX = 150;

/** @param parties in the order of their columns; lines of others are left out */
export function diagram(parties: readonly string[], lines: readonly Line[]): string {
  const width = Math.max(9, ...parties.map(({ length }) => length + 2));
  const columns = new Map(parties.map((party, column) => [party, column]));
  const head = `${"ms".padStart(TIME_WIDTH)}   ${parties.map((party) => party.padEnd(width)).join("")}`.trimEnd();
  const drawn = lines.flatMap(({ ms, from, to, text }) => {
    const time = ms.toFixed(0).padStart(TIME_WIDTH);
    const words = text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX)}…` : text;
    if (from === undefined || to === undefined) return [`${time}   ${"═".repeat(3)} ${words}`];
    const [start, end] = [columns.get(from), columns.get(to)];
    if (start === undefined || end === undefined) return [];
    return [`${time}   ${arrow(start, end, parties.length, width)} ${words}`.trimEnd()];
  });
  return [head, ...drawn].join("\n");
}

function arrow(start: number, end: number, columns: number, width: number): string {
  const row: string[] = Array.from({ length: columns * width }, (_, at) => (at % width === 0 ? "│" : " "));
  const [left, right] = [Math.min(start, end) * width, Math.max(start, end) * width];
  for (let at = left + 1; at < right; at++) row[at] = "─";
  if (start === end) row[left] = "●";
  else if (start < end) {
    row[left] = "├";
    row[right - 1] = "▶";
  } else {
    row[right] = "┤";
    row[left + 1] = "◀";
  }
  return row.join("");
}
