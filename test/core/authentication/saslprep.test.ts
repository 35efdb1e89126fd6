import { expect, test } from "vitest";
import { saslprep } from "../../../src/core/authentication/saslprep.ts";

test.each([
  ["RFC 4013 §3: a soft hyphen goes", "I\u00adX", "IX"],
  ["RFC 4013 §3: case stays", "USER", "USER"],
  ["RFC 4013 §3: ordinal a", "\u00aa", "a"],
  ["RFC 4013 §3: roman nine", "\u2168", "IX"],
  ["RFC 3454 C.1.2: any space is a space", "a\u00a0b\u3000c", "a b c"],
  ["RFC 3454 B.1: joiners go", "a\u200db\ufe0fc", "abc"],
  ["what is composed", "e\u0301", "é"],
  ["nothing", "", ""],
])("%s", (_what, text, prepared) => {
  expect(saslprep(text)).toBe(prepared);
});

test.each([
  ["RFC 4013 §3: a control character", "\u0007"],
  ["U+007F", "\u007f"],
  ["a line's end", "a\nb"],
  ["private use", "\ue000"],
  ["a non-character", "\uffff"],
  ["half a surrogate pair", "\ud800"],
  ["an override of direction", "a\u202eb"],
  ["a tag", "\u{e0041}"],
])("%s is refused", (_what, text) => {
  expect(saslprep(text)).toBeUndefined();
});
