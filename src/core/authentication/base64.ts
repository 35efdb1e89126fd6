/** Base 64 (RFC 4648 §4) as SCRAM writes it: with padding, and one text for each value. */

declare function btoa(binary: string): string;
declare function atob(text: string): string;

export function encodeBase64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}

/** Returns undefined for anything that {@link encodeBase64} would not have written. */
export function decodeBase64(text: string): Uint8Array | undefined {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text) || text.length % 4 !== 0) return undefined;
  const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  return encodeBase64(bytes) === text ? bytes : undefined;
}
