/** Packets as bytes, for what an encoder would rightly refuse to write. */

/** One control packet: the first byte, the remaining length that the parts need, the parts. */
export function packet(first: number, ...parts: (Uint8Array | number[])[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)));
  return Buffer.concat([Buffer.of(first), variableByteInteger(body.length), body]);
}

export function variableByteInteger(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  do {
    const byte = rest % 128;
    rest = Math.floor(rest / 128);
    bytes.push(rest > 0 ? byte | 0x80 : byte);
  } while (rest > 0);
  return Buffer.from(bytes);
}

/** A UTF-8 string, or any other bytes with a length of two bytes in front. */
export function string(text: string | Uint8Array): Buffer {
  const bytes = Buffer.from(text as string);
  return Buffer.concat([twoBytes(bytes.length), bytes]);
}

export function twoBytes(value: number): Buffer {
  return Buffer.of(value >> 8, value & 0xff);
}

/** A property section: its length, then the properties as they come. */
export function properties(...parts: (Uint8Array | number[])[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)));
  return Buffer.concat([variableByteInteger(body.length), body]);
}

export function userProperty(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.of(0x26), string(name), string(value)]);
}

/**
 * The user properties of an MQTT 5 PUBLISH that has no other ones, in their order; mqtt-packet groups them by name.
 *
 * @throws Error when there is another property
 */
export function userPropertiesOf(publish: Buffer): [string, string][] {
  let at = 1;
  const vbi = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = publish[at++]!;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  };
  const text = (): string => {
    const length = publish.readUInt16BE(at);
    at += 2 + length;
    return publish.toString("utf8", at - length, at);
  };
  vbi();
  text();
  if ((publish[0]! & 0x06) !== 0) at += 2;
  const length = vbi();
  const end = at + length;
  const found: [string, string][] = [];
  while (at < end) {
    const id = publish[at++]!;
    if (id !== 0x26) throw new Error(`property 0x${id.toString(16)} is not a user property`);
    found.push([text(), text()]);
  }
  return found;
}
