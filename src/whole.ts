/** A setting that is a number. */

import * as z from "zod/mini";

/** A whole number within bounds, written in decimal digits as every variable is. */
export function whole(from: number, to: number, otherwise: number) {
  return z._default(
    z.pipe(
      z.pipe(
        z.string().check(z.regex(/^\d+$/, "must be a whole number")),
        z.transform((text: string) => Number(text)),
      ),
      z.number().check(z.gte(from, `must be at least ${from}`), z.lte(to, `must be at most ${to}`)),
    ),
    otherwise as unknown as string & number,
  );
}
