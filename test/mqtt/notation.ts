/**
 * How are packets written down in the corpus?
 *
 * As hex, with the length fields left to the machine so that a case shows what it is about:
 * `'text'` is a string with its two-byte length, `"text"` the bytes alone, `[ … ]` binary data with a two-byte length, and
 * `( … )` a group with a variable byte length (a packet's body, or properties). `00*12` repeats.
 */
export function packet(notation: string): Uint8Array {
  const tokens = notation.match(/'[^']*'|"[^"]*"|[()[\]]|[0-9a-f]{2}\*\d+|(?:[0-9a-f]{2})+|\S/g) ?? [];
  let at = 0;
  const group = (close: string | undefined): number[] => {
    const bytes: number[] = [];
    for (;;) {
      const token = tokens[at++];
      if (token === close) return bytes;
      if (token === undefined) throw new Error(`unclosed group in ${notation}`);
      if (token === "(") bytes.push(...counted(group(")")));
      else if (token === "[") bytes.push(...prefixed(group("]")));
      else if (token.startsWith("'")) bytes.push(...prefixed([...new TextEncoder().encode(token.slice(1, -1))]));
      else if (token.startsWith('"')) bytes.push(...new TextEncoder().encode(token.slice(1, -1)));
      else if (token.includes("*")) {
        const [byte = "", count] = token.split("*");
        for (let left = Number(count); left > 0; left--) bytes.push(Number.parseInt(byte, 16));
      } else if (/^[0-9a-f]+$/.test(token) && token.length % 2 === 0) {
        for (let i = 0; i < token.length; i += 2) bytes.push(Number.parseInt(token.slice(i, i + 2), 16));
      } else throw new Error(`${token} in ${notation}`);
    }
  };
  return Uint8Array.from(group(undefined));
}

function prefixed(bytes: number[]): number[] {
  return [bytes.length >> 8, bytes.length & 0xff, ...bytes];
}

function counted(bytes: number[]): number[] {
  const length: number[] = [];
  let rest = bytes.length;
  do {
    length.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    rest >>= 7;
  } while (rest > 0);
  return [...length, ...bytes];
}

export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A value with its byte arrays as hex, to compare and to print. */
export function shown(value: unknown): unknown {
  if (value instanceof Uint8Array) return hex(value);
  if (Array.isArray(value)) return value.map(shown);
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, shown(field)]));
  }
  return value;
}
