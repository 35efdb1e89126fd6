/** The body of an answer from somewhere else. */

/** As text; undefined if it has more bytes, and then it is not read to its end. */
export async function bodyText(response: Response, bytesMax: number): Promise<string | undefined> {
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  let written = "";
  let bytes = 0;
  for (;;) {
    const chunk = await reader?.read();
    if (chunk === undefined || chunk.done) return written + decoder.decode();
    const part = chunk.value as Uint8Array;
    bytes += part.length;
    if (bytes > bytesMax) {
      await reader?.cancel();
      return undefined;
    }
    written += decoder.decode(part, { stream: true });
  }
}
