/** Why a request to the admin API is not done. */

import type { ContentfulStatusCode } from "hono/utils/http-status";
import type * as z from "zod/mini";

export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly status: ContentfulStatusCode;
  /** Which member of the body, or which parameter, is wrong. */
  readonly field: string | undefined;

  constructor(status: ContentfulStatusCode, message: string, field?: string) {
    super(message);
    this.status = status;
    this.field = field;
  }
}

/**
 * What a shape makes of a value.
 *
 * @throws Refusal 400, which names the field and shows nothing of the value
 */
export function shaped<T extends z.ZodMiniType>(shape: T, value: unknown): z.output<T> {
  const read = shape.safeParse(value);
  if (read.success) return read.data;
  const issue = read.error.issues[0]!;
  if (issue.code === "unrecognized_keys") throw new Refusal(400, "is not known here", issue.keys[0]);
  throw new Refusal(400, issue.message, issue.path.length > 0 ? issue.path.join(".") : undefined);
}
