/** IP addresses and networks, as text says them, in one form that can be compared. */

/** Of an address the whole of it, of a network the part that its addresses share, each bit a character. */
export interface Network {
  readonly family: 4 | 6;
  /** Of `0` and `1`, the highest first. */
  readonly bits: string;
}

/**
 * Reads an address: `192.0.2.1`, `2001:db8::1`. An IPv4 address within IPv6 (`::ffff:192.0.2.1`) is the IPv4 address that it
 * stands for, and a zone (`fe80::1%eth0`) is left out. Undefined: it is none.
 */
export function readAddress(text: string): Network | undefined {
  const plain = text.split("%", 1)[0]!;
  if (!plain.includes(":")) {
    const bits = readV4(plain);
    return bits === undefined ? undefined : { family: 4, bits };
  }
  const bits = readV6(plain);
  if (bits === undefined) return undefined;
  return bits.startsWith(MAPPED) ? { family: 4, bits: bits.slice(MAPPED.length) } : { family: 6, bits };
}

/** Reads an address, or a network in CIDR notation: `192.0.2.0/24`. What the address has beyond its prefix is left out. */
export function readNetwork(text: string): Network | undefined {
  const { 0: address = "", 1: prefix, 2: more } = text.split("/");
  const whole = readAddress(address);
  if (!whole || more !== undefined) return undefined;
  if (prefix === undefined) return whole;
  if (!/^\d{1,3}$/.test(prefix)) return undefined;
  // A prefix counts from the beginning of what was written, an IPv4 address within IPv6 begins at its 97th bit.
  const length = Number(prefix) - (whole.family === 4 && address.includes(":") ? MAPPED.length : 0);
  return length < 0 || length > whole.bits.length ? undefined : { ...whole, bits: whole.bits.slice(0, length) };
}

const MAPPED = "0".repeat(80) + "1".repeat(16);

function readV4(text: string): string | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  let bits = "";
  for (const part of parts) {
    // A leading zero means octal to some and nothing to others.
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
    bits += Number(part).toString(2).padStart(8, "0");
  }
  return bits;
}

function readV6(text: string): string | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = [readGroups(halves[0]!), readGroups(halves[1] ?? "")];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 128 - head.length - tail.length;
  // `::` stands for at least one group.
  if (halves.length === 2 ? missing < 16 : missing !== 0) return undefined;
  return head + "0".repeat(missing) + tail;
}

/** Groups between colons; the last one may be an IPv4 address. */
function readGroups(text: string): string | undefined {
  if (text === "") return "";
  const groups = text.split(":");
  let bits = "";
  for (const [at, group] of groups.entries()) {
    const last = at === groups.length - 1;
    const read = last && group.includes(".") ? readV4(group) : readGroup(group);
    if (read === undefined) return undefined;
    bits += read;
  }
  return bits;
}

function readGroup(text: string): string | undefined {
  return /^[0-9a-f]{1,4}$/i.test(text) ? Number.parseInt(text, 16).toString(2).padStart(16, "0") : undefined;
}
