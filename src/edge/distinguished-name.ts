/**
 * The subject of a certificate, as the platform writes it: by RFC 2253, with what OpenSSL adds to that. Bytes that are not
 * ASCII are `\C3\A9`, a value that is no text is `#04…`.
 *
 * Whoever asked for the certificate has chosen the values, so nothing is guessed: what cannot be read for certain to its end
 * has no common name.
 */

/** The attribute CN, by any of the names that are written for it. */
const COMMON_NAME = /^(?:CN|commonName|(?:OID\.)?2\.5\.4\.3)$/i;
/** One attribute: its name, its value, and what separates it from the next one. */
const ATTRIBUTE = /\s*([A-Za-z0-9.-]+)=((?:\\[0-9A-Fa-f]{2}|\\[^0-9A-Fa-f]|[^\\"+,;<>])*)([+,;]|$)/y;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** Undefined if there is none, if there are several, or if it is no text. */
export function commonName(subject: string): string | undefined {
  const names: string[] = [];
  ATTRIBUTE.lastIndex = 0;
  for (;;) {
    const [whole, name, value, separator] = ATTRIBUTE.exec(subject) ?? [];
    if (whole === undefined) return undefined;
    if (COMMON_NAME.test(name!)) names.push(value!);
    if (separator === "") break;
  }
  return names.length === 1 ? text(names[0]!) : undefined;
}

function text(value: string): string | undefined {
  if (value.startsWith("#")) return undefined;
  const bytes: number[] = [];
  for (const [, hex, escaped, plain] of value.matchAll(/\\([0-9A-Fa-f]{2})|\\(.)|(.)/gsu)) {
    if (hex === undefined) bytes.push(...encoder.encode(escaped ?? plain));
    else bytes.push(Number.parseInt(hex, 16));
  }
  try {
    return decoder.decode(Uint8Array.from(bytes));
  } catch {
    return undefined;
  }
}
