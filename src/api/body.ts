/** The body of a request to the admin API: bounded, of the type that it says, and UTF-8. */

import type { Context } from "hono";
import type * as z from "zod/mini";
import { Refusal, shaped } from "./refusal.ts";

const JSON_BYTES_MAX = 64 * 1024;
/** Some thousand users or rules. */
const FILE_BYTES_MAX = 1024 * 1024;

/** @throws Refusal 415, 413, 400 */
export async function jsonBody<T extends z.ZodMiniType>(c: Context, shape: T): Promise<z.output<T>> {
  const text = await textBody(c, "application/json", JSON_BYTES_MAX);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Refusal(400, "the body is not JSON");
  }
  return shaped(shape, value);
}

/** The text of a file. @throws Refusal 415, 413, 400 */
export function fileBody(c: Context): Promise<string> {
  return textBody(c, "text/plain", FILE_BYTES_MAX);
}

async function textBody(c: Context, type: string, bytesMax: number): Promise<string> {
  const [said = "", ...parameters] = (c.req.header("content-type") ?? "").split(";").map((part) => part.trim());
  const isUtf8 = parameters.every((parameter) => /^charset="?utf-8"?$/i.test(parameter));
  if (said.toLowerCase() !== type || !isUtf8) throw new Refusal(415, `Content-Type has to be ${type}`);
  if (c.req.header("content-encoding") !== undefined) throw new Refusal(415, "Content-Encoding is not known here");
  const bytes = await bounded(c.req.raw.body, bytesMax);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes);
  } catch {
    throw new Refusal(400, "the body is not UTF-8");
  }
}

/** Reads no more than it takes to see that there is too much, whatever Content-Length says. */
async function bounded(body: ReadableStream<Uint8Array> | null, bytesMax: number): Promise<Uint8Array> {
  const reader = body?.getReader();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const chunk = await reader?.read();
    if (chunk === undefined || chunk.done) break;
    length += chunk.value.length;
    if (length > bytesMax) {
      await reader?.cancel();
      throw new Refusal(413, `the body has more than ${bytesMax} bytes`);
    }
    chunks.push(chunk.value);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}
