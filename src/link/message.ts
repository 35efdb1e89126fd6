/** How a message is written into a log batch, a retained row and a will: one form for all, stored and so frozen. */

import type { Message } from "../mqtt/message.ts";
import { utf8Length } from "../mqtt/utf8.ts";
import { type ByteReader, type ByteWriter, utf8Text } from "./bytes.ts";

const QOS = 0b0011;
const RETAIN = 0b0100;
const EXPIRES = 0b1000;

/** What a PUBLISH says; who published it and when is known beside it. */
export type MessageBody = Omit<Message, "at" | "publisher">;

/** flags u8 · [expiry u32] · topic · properties · payload. */
export function writeBody(to: ByteWriter, body: MessageBody): void {
  to.u8(body.qos | (body.retain ? RETAIN : 0) | (body.expirySeconds === undefined ? 0 : EXPIRES));
  if (body.expirySeconds !== undefined) to.u32(body.expirySeconds);
  to.string16(body.topicUtf8).bytes32(body.properties).bytes32(body.payload);
}

/** Reads a body, with `at` and `publisher` as the reader knows them. */
export function readBody(from: ByteReader, at: number, publisher: string): Message {
  const flags = from.u8();
  const expirySeconds = flags & EXPIRES ? from.u32() : undefined;
  const topicUtf8 = from.string16();
  return {
    topic: utf8Text(topicUtf8),
    topicUtf8,
    qos: (flags & QOS) as 0 | 1 | 2,
    retain: (flags & RETAIN) !== 0,
    expirySeconds,
    properties: from.bytes32(),
    payload: from.bytes32(),
    at,
    publisher,
  };
}

/** publisher · at u48 · body. */
export function writeMessage(to: ByteWriter, message: Message): void {
  to.string(message.publisher).u48(message.at);
  writeBody(to, message);
}

/** How many bytes {@link writeMessage} writes. */
export function messageBytes({ publisher, expirySeconds, topicUtf8, properties, payload }: Message): number {
  const expiryBytes = expirySeconds === undefined ? 0 : 4;
  return 19 + utf8Length(publisher) + expiryBytes + topicUtf8.length + properties.length + payload.length;
}

export function readMessage(from: ByteReader): Message {
  const publisher = from.string();
  const at = from.u48();
  return readBody(from, at, publisher);
}
