/** A line of the log: one JSON object, whatever clients have written into its fields, and of a bounded length. */

export type Fields = Readonly<Record<string, string | number | undefined>>;

/** Client ids, users and topics may have 64 KiB. */
const TEXT_MAX = 256;
/** A stack. */
const DETAIL_MAX = 2048;

export function line(fields: Fields): string {
  return JSON.stringify(fields, (key, value: unknown) =>
    typeof value === "string" ? cut(value, key === "detail" ? DETAIL_MAX : TEXT_MAX) : value,
  );
}

function cut(text: string, max: number): string {
  return text.length <= max ? text : `${text.slice(0, max)}… (${text.length})`;
}
