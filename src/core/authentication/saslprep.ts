/**
 * Which of the ways to write a name or a password is meant? SASLprep (RFC 4013), by which a client that types é as two
 * characters is the same user as one that has it as one.
 *
 * Two things are left out, both on the side of accepting: the rule for text of both directions (RFC 3454 §6), and the code
 * points that Unicode 3.2 did not have, which the rest of Unicode's normalisation takes care of here.
 */

/** Spaces that are not ASCII's (table C.1.2). */
const SPACES = /[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000]/gu;
/** What has no width and no meaning (table B.1). */
const NOTHING = /[\u034f\u180b-\u180d\ufe00-\ufe0f\u00ad\u1806\u200c-\u200d\u2060\ufeff]/gu;
/** Tables C.2.1 to C.9: control, private use, surrogates, non-characters, and what changes how others are shown. */
const PROHIBITED =
  /[\p{Cc}\p{Co}\p{Cs}\p{Noncharacter_Code_Point}\p{Bidi_Control}\u06dd\u070f\u180e\u2028\u2029\u2061-\u2063\u206a-\u206f\u2ff0-\u2ffb\ufff9-\ufffd\u{1d173}-\u{1d17a}\u{e0001}\u{e0020}-\u{e007f}]/u;

/** Returns undefined for text that may not be a name or a password. */
export function saslprep(text: string): string | undefined {
  const prepared = text.replace(SPACES, " ").replace(NOTHING, "").normalize("NFKC");
  return PROHIBITED.test(prepared) ? undefined : prepared;
}
