/**
 * What a client must not send, over real sockets: it is told what the specification names and is closed, and nobody
 * else notices.
 */
import { describe, expect, test } from "vitest";
import { useBroker } from "./support/broker.ts";
import { Bystander } from "./support/bystander.ts";
import { packet, properties, string, twoBytes, userProperty, variableByteInteger } from "./support/bytes.ts";
import { Client, type Version, versionName, VERSIONS } from "./support/client.ts";
import { TRANSPORTS, type Transport } from "./support/wire.ts";

const use = useBroker();

/** 268,435,455 bytes, the most that a fixed header can announce. */
const FOUR_BYTES_OF_LENGTH = [0xff, 0xff, 0xff, 0x7f];

interface Offence {
  what: string;
  bytes: (version: Version) => Buffer;
  /** What an MQTT 5 client is told. */
  reason: number;
  /** The WebSocket close code. */
  code?: number;
  versions?: readonly Version[];
}

/** The empty property section that version 5 puts where the others have nothing. */
const none = (version: Version): Buffer => (version === 5 ? Buffer.of(0) : Buffer.alloc(0));

const OFFENCES: Offence[] = [
  {
    what: "[§2.1.4] a packet of 256 MB, announced",
    bytes: () => Buffer.from([0x30, ...FOUR_BYTES_OF_LENGTH]),
    reason: 0x95,
    code: 1009,
  },
  {
    what: "[§2.1.4] a packet of 1 MiB and one byte, announced",
    bytes: () => Buffer.concat([Buffer.of(0x30), variableByteInteger(1024 * 1024 + 1 - 4)]),
    reason: 0x95,
    code: 1009,
  },
  { what: "[§2.1.4] a length of five bytes", bytes: () => Buffer.of(0x30, 0xff, 0xff, 0xff, 0xff, 0x01), reason: 0x81 },
  { what: "[MQTT-1.5.5-1] a length that is not minimal", bytes: () => Buffer.of(0xc0, 0x80, 0x00), reason: 0x81 },
  { what: "[§2.1.2] packet type 0", bytes: () => Buffer.of(0x00, 0x00), reason: 0x81 },
  { what: "[§2.1.2] packet type 15", bytes: () => Buffer.of(0xf0, 0x00), reason: 0x82 },
  {
    what: "[MQTT-3.1.0-2] a second CONNECT",
    bytes: () => packet(0x10, string("MQTT"), [4, 2], twoBytes(0), string("again")),
    reason: 0x82,
  },
  { what: "[§4.13] a CONNACK", bytes: () => Buffer.of(0x20, 0x02, 0x00, 0x00), reason: 0x82 },
  { what: "[§4.13] a PINGRESP", bytes: () => Buffer.of(0xd0, 0x00), reason: 0x82 },
  { what: "[§4.13] a SUBACK", bytes: () => Buffer.of(0x90, 0x03, 0x00, 0x01, 0x00), reason: 0x82 },
  { what: "[MQTT-3.12.4-1] a PINGREQ with a body", bytes: () => Buffer.of(0xc0, 0x01, 0x00), reason: 0x81 },
  { what: "[MQTT-2.1.3-1] a PINGREQ with a flag", bytes: () => Buffer.of(0xc1, 0x00), reason: 0x81 },
  { what: "[MQTT-3.14.1-1] a DISCONNECT with a flag", bytes: () => Buffer.of(0xe1, 0x00), reason: 0x81 },
  {
    what: "[MQTT-3.14.2-1] a DISCONNECT with a reason that does not exist",
    bytes: () => Buffer.of(0xe0, 0x01, 0x03),
    reason: 0x82,
    versions: [5],
  },
  {
    what: "[§3.14.2.2.2] a DISCONNECT that raises the session expiry from 0",
    bytes: () => packet(0xe0, [0x00], properties([0x11, 0, 0, 0, 9])),
    reason: 0x82,
    versions: [5],
  },
  {
    what: "[MQTT-3.8.1-1] a SUBSCRIBE without its flag",
    bytes: (version) => packet(0x80, twoBytes(1), none(version), string("a"), [0]),
    reason: 0x81,
  },
  {
    what: "[MQTT-3.10.1-1] an UNSUBSCRIBE without its flag",
    bytes: (version) => packet(0xa0, twoBytes(1), none(version), string("a")),
    reason: 0x81,
  },
  {
    what: "[MQTT-3.6.1-1] a PUBREL without its flag",
    bytes: () => packet(0x60, twoBytes(1)),
    reason: 0x81,
  },
  {
    what: "[MQTT-2.2.1-3] a SUBSCRIBE with packet id 0",
    bytes: (version) => packet(0x82, twoBytes(0), none(version), string("a"), [0]),
    reason: 0x82,
  },
  {
    what: "[MQTT-2.2.1-3] an UNSUBSCRIBE with packet id 0",
    bytes: (version) => packet(0xa2, twoBytes(0), none(version), string("a")),
    reason: 0x82,
  },
  {
    what: "[MQTT-2.2.1-3] a PUBLISH with packet id 0",
    bytes: (version) => packet(0x32, string("a"), twoBytes(0), none(version)),
    reason: 0x82,
  },
  {
    what: "[MQTT-3.8.3-2] a SUBSCRIBE without filters",
    bytes: (version) => packet(0x82, twoBytes(1), none(version)),
    reason: 0x82,
  },
  {
    what: "[MQTT-3.10.3-2] an UNSUBSCRIBE without filters",
    bytes: (version) => packet(0xa2, twoBytes(1), none(version)),
    reason: 0x82,
  },
  {
    what: "[MQTT-3.8.3-5] a SUBSCRIBE with reserved options",
    bytes: (version) => packet(0x82, twoBytes(1), none(version), string("a"), [0x40]),
    reason: 0x81,
  },
  {
    what: "[§3.8.3.1] a SUBSCRIBE that asks for QoS 3",
    bytes: (version) => packet(0x82, twoBytes(1), none(version), string("a"), [0x03]),
    reason: 0x81,
  },
  {
    what: "[§3.8.3.1] a SUBSCRIBE with retain handling 3",
    bytes: () => packet(0x82, twoBytes(1), [0], string("a"), [0x30]),
    reason: 0x82,
    versions: [5],
  },
  {
    what: "[v3 MQTT-3.8.3-4] an option of version 5 in a SUBSCRIBE",
    bytes: () => packet(0x82, twoBytes(1), string("a"), [0x04]),
    reason: 0x81,
    versions: [3, 4],
  },
  {
    what: "[MQTT-3.8.3-4] No Local on a shared subscription",
    bytes: () => packet(0x82, twoBytes(1), [0], string("$share/g/a"), [0x04]),
    reason: 0x82,
    versions: [5],
  },
  {
    what: "[§3.8.2.1.2] Subscription Identifier 0",
    bytes: () => packet(0x82, twoBytes(1), properties([0x0b, 0]), string("a"), [0]),
    reason: 0x82,
    versions: [5],
  },
  {
    what: "[MQTT-3.3.1-4] a PUBLISH with QoS 3",
    bytes: (version) => packet(0x36, string("a"), twoBytes(1), none(version)),
    reason: 0x81,
  },
  {
    what: "[MQTT-3.3.1-2] a PUBLISH with DUP and QoS 0",
    bytes: (version) => packet(0x38, string("a"), none(version)),
    reason: 0x81,
  },
  {
    what: "[MQTT-2.2.1-4] a PUBLISH with the id of a QoS 2 message that is under way",
    bytes: (version) =>
      Buffer.concat([0x34, 0x32].map((first) => packet(first, string("a"), twoBytes(1), none(version)))),
    reason: 0x82,
  },
  {
    what: "[MQTT-3.3.2-2] a topic with #",
    bytes: (version) => packet(0x30, string("a/#"), none(version)),
    reason: 0x90,
    code: 1008,
  },
  {
    what: "[MQTT-3.3.2-2] a topic with +",
    bytes: (version) => packet(0x30, string("+"), none(version)),
    reason: 0x90,
    code: 1008,
  },
  {
    what: "[MQTT-1.5.4-2] a topic with U+0000",
    bytes: (version) => packet(0x30, string("a\u0000b"), none(version)),
    reason: 0x81,
  },
  {
    what: "[MQTT-1.5.4-1] a topic with a surrogate",
    bytes: (version) => packet(0x30, string(Buffer.of(0x61, 0xed, 0xa0, 0x80)), none(version)),
    reason: 0x81,
  },
  {
    what: "[MQTT-1.5.4-1] a topic with an overlong form",
    bytes: (version) => packet(0x30, string(Buffer.of(0xc0, 0xaf)), none(version)),
    reason: 0x81,
  },
  {
    what: "[§3.3.2.1] a topic longer than its packet",
    bytes: () => packet(0x30, twoBytes(500), [0x61]),
    reason: 0x81,
  },
  {
    what: "[MQTT-4.7.3-1] an empty topic without an alias",
    bytes: () => packet(0x30, string(""), [0]),
    reason: 0x82,
    versions: [5],
  },
  {
    what: "[MQTT-3.3.2-8] Topic Alias 0",
    bytes: () => packet(0x30, string("a"), properties([0x23, 0, 0])),
    reason: 0x94,
    code: 1008,
    versions: [5],
  },
  {
    what: "[MQTT-3.3.2-9] a Topic Alias above the Topic Alias Maximum",
    bytes: () => packet(0x30, string("a"), properties([0x23, 0, 33])),
    reason: 0x94,
    code: 1008,
    versions: [5],
  },
  {
    what: "[§3.3.2.3.4] a Topic Alias that was never set",
    bytes: () => packet(0x30, string(""), properties([0x23, 0, 1])),
    reason: 0x82,
    versions: [5],
  },
  {
    what: "[§2.2.2.2] a property twice",
    bytes: () => packet(0x30, string("a"), properties([0x03], string("x"), [0x03], string("y"))),
    reason: 0x82,
    versions: [5],
  },
  {
    what: "[§2.2.2.2] a property of another packet",
    bytes: () => packet(0x30, string("a"), properties([0x21, 0, 1])),
    reason: 0x81,
    versions: [5],
  },
  {
    what: "[MQTT-3.3.4-6] a Subscription Identifier in a PUBLISH",
    bytes: () => packet(0x30, string("a"), properties([0x0b, 1])),
    reason: 0x82,
    versions: [5],
  },
  {
    what: "[MQTT-3.3.2-14] a Response Topic with a wildcard",
    bytes: () => packet(0x30, string("a"), properties([0x08], string("r/+"))),
    reason: 0x82,
    versions: [5],
  },
  {
    what: "[MQTT-1.5.4-2] U+0000 in a user property",
    bytes: () => packet(0x30, string("a"), properties(userProperty("name", "\u0000"))),
    reason: 0x81,
    versions: [5],
  },
  {
    what: "[§2.2.2.1] properties that overrun the packet",
    bytes: () => packet(0x30, string("a"), [20], userProperty("n", "v")),
    reason: 0x81,
    versions: [5],
  },
  {
    what: "[§3.4.2.1] a PUBACK with a reason that does not exist",
    bytes: () => packet(0x40, twoBytes(1), [0x01]),
    reason: 0x82,
    versions: [5],
  },
  {
    what: "[§4.7.3] a topic of 129 levels",
    bytes: (version) => packet(0x30, string(Array(129).fill("l").join("/")), none(version)),
    reason: 0x90,
    code: 1008,
  },
];

describe.each(TRANSPORTS)("over %s", (transport: Transport) => {
  describe("an offence after CONNECT closes its sender, and disturbs nobody else", () => {
    for (const { what, bytes, reason, code = 1002, versions = VERSIONS } of OFFENCES) {
      test(what, async () => {
        const bystander = await Bystander.connected(use.broker);
        await bystander.undisturbed();
        for (const version of versions) {
          const client = await Client.connected(use.broker, transport, version);
          client.sendBytes(bytes(version));
          await client.expectDisconnected(reason, code);
        }
        await bystander.undisturbed();
      });
    }

    test("and whatever it sent behind the offence is not read [MQTT-4.13.1-1]", async () => {
      const bystander = await Bystander.connected(use.broker);
      const witness = await Client.connected(use.broker);
      await witness.subscribe("behind/#");
      const client = await Client.connected(use.broker, transport);
      client.sendBytes(
        client.encode(client.publishPacket("behind/x", "before")),
        [0xc0, 0x01, 0x00],
        client.encode(client.publishPacket("behind/x", "after")),
      );
      await client.expectDisconnected(0x81, 1002);
      await witness.expectMessage("behind/x", "before");
      await witness.publish("behind/x", "fence");
      await witness.expectMessage("behind/x", "fence");
      await bystander.undisturbed();
    });
  });

  describe("before CONNECT", () => {
    test.each([
      ["[MQTT-3.1.0-1] a PINGREQ first", Buffer.of(0xc0, 0x00), 1002],
      ["[MQTT-3.1.0-1] a PUBLISH first", packet(0x30, string("a"), [0]), 1002],
      ["[MQTT-3.1.0-1] another protocol", Buffer.from(`GET / HTTP/1.1\r\nHost: ${"x".repeat(80)}\r\n\r\n`), 1002],
      ["[§2.1.4] a CONNECT of 256 MB, announced", Buffer.from([0x10, ...FOUR_BYTES_OF_LENGTH]), 1009],
      ["[§2.1.4] any packet of 256 MB, announced", Buffer.from([0x30, ...FOUR_BYTES_OF_LENGTH]), 1009],
      ["[§2.1.4] a length of five bytes", Buffer.of(0x10, 0xff, 0xff, 0xff, 0xff, 0x01), 1002],
    ])("%s is closed without a CONNACK", async (_what, bytes, code) => {
      const bystander = await Bystander.connected(use.broker);
      const client = await Client.open(use.broker, transport);
      client.sendBytes(bytes);
      await client.expectClosed(code);
      await bystander.undisturbed();
    });

    /** A CONNECT by its parts. */
    const connect = (name: string, level: number, flags: number, ...payload: (Buffer | number[])[]): Buffer =>
      packet(0x10, string(name), [level, flags], twoBytes(0), level === 5 ? [0] : [], ...payload);
    const v3 = (code: number): string => Buffer.of(0x20, 2, 0, code).toString("hex");
    const v5 = (reason: number): string => Buffer.of(0x20, 3, 0, reason, 0).toString("hex");
    const id = string("refused");

    test.each<[string, Buffer, string | undefined]>([
      ["[MQTT-3.1.2-2] level 3 under the name MQTT: 0x01 as 3.1.1 says it", connect("MQTT", 3, 2, id), v3(1)],
      [
        "[MQTT-3.1.2-2] level 6: 0x84 as 5.0 says it",
        packet(0x10, string("MQTT"), [6, 2], twoBytes(0), [0], id),
        v5(0x84),
      ],
      ["[MQTT-3.1.2-2] level 4 under the name MQIsdp: 0x01", connect("MQIsdp", 4, 2, id), v3(1)],
      ["[MQTT-3.1.2-2] a bridge's level 0x84: 0x01", connect("MQTT", 0x84, 2, id), v3(1)],
      ["[MQTT-3.1.2-1] another name: nothing", connect("MQXX", 4, 2, id), undefined],
      ["[MQTT-3.1.2-3] the reserved flag, 5.0: 0x81", connect("MQTT", 5, 3, id), v5(0x81)],
      ["[v3 MQTT-3.1.4-1] the reserved flag, 3.1.1: nothing", connect("MQTT", 4, 3, id), undefined],
      ["[MQTT-3.1.2-12] a will with QoS 3: 0x81", connect("MQTT", 5, 0x1e, id, [0], string("w"), string("")), v5(0x81)],
      ["[MQTT-3.1.2-11] a will's QoS without a will: 0x81", connect("MQTT", 5, 0x0a, id), v5(0x81)],
      [
        "[MQTT-3.1.3-11] a will's topic with a wildcard: 0x90",
        connect("MQTT", 5, 6, id, [0], string("w/#"), string("")),
        v5(0x90),
      ],
      ["[MQTT-3.1.3-4] a client id with U+0000: 0x81", connect("MQTT", 5, 2, string("a\u0000")), v5(0x81)],
      ["[MQTT-3.1.3-5] a client id of 257 bytes, 5.0: 0x85", connect("MQTT", 5, 2, string("i".repeat(257))), v5(0x85)],
      ["[MQTT-3.1.3-5] a client id of 257 bytes, 3.1.1: 0x02", connect("MQTT", 4, 2, string("i".repeat(257))), v3(2)],
      ["[MQTT-3.1.3-5] a client id of 257 bytes, 3.1: 0x02", connect("MQIsdp", 3, 2, string("i".repeat(257))), v3(2)],
      ["[v3 MQTT-3.1.3-8] no client id and no clean session, 3.1.1: 0x02", connect("MQTT", 4, 0, string("")), v3(2)],
      ["[v3 MQTT-3.1.3-8] no client id, 3.1: 0x02", connect("MQIsdp", 3, 2, string("")), v3(2)],
      [
        "[v3 MQTT-3.1.2-22] a password without a user name, 3.1.1: nothing",
        connect("MQTT", 4, 0x42, id, string("p")),
        undefined,
      ],
      [
        "[MQTT-4.12.0-1] an authentication method: 0x8C",
        packet(0x10, string("MQTT"), [5, 2], twoBytes(0), properties([0x15], string("x")), id),
        v5(0x8c),
      ],
      [
        "[§3.1.2.11.10] authentication data without a method: 0x82",
        packet(0x10, string("MQTT"), [5, 2], twoBytes(0), properties([0x16], string("x")), id),
        v5(0x82),
      ],
      [
        "[§3.1.2.11.3] Receive Maximum 0: 0x82",
        packet(0x10, string("MQTT"), [5, 2], twoBytes(0), properties([0x21, 0, 0]), id),
        v5(0x82),
      ],
      [
        "[§2.2.2.2] a property twice: 0x82",
        packet(0x10, string("MQTT"), [5, 2], twoBytes(0), properties([0x21, 0, 1, 0x21, 0, 1]), id),
        v5(0x82),
      ],
      ["[§] bytes behind the last field: 0x81", connect("MQTT", 5, 2, id, [0]), v5(0x81)],
    ])("%s", async (_what, bytes, answer) => {
      const bystander = await Bystander.connected(use.broker);
      const client = await Client.open(use.broker, transport, answer?.startsWith("2003") ? 5 : 4);
      client.sendBytes(bytes);
      if (answer !== undefined) expect((await client.next("CONNACK")).raw.toString("hex")).toBe(answer);
      await client.expectClosed();
      await bystander.undisturbed();
    });

    test("[MQTT-3.1.4-6] what follows a refused CONNECT in the same breath is not read", async () => {
      const witness = await Client.connected(use.broker);
      await witness.subscribe("refused/x");
      const client = await Client.open(use.broker, transport, 4);
      client.sendBytes(connect("MQTT", 4, 0, string("")), client.encode(client.publishPacket("refused/x", "no")));
      await client.expectPacket({ cmd: "connack", returnCode: 2 });
      await client.expectClosed();
      await witness.publish("refused/x", "fence");
      await witness.expectMessage("refused/x", "fence");
    });
  });

  test.each<Version>([3, 4, 5])(
    "a bad filter is refused in its place in the SUBACK, version %s, and its client stays",
    async (version) => {
      const client = await Client.connected(use.broker, transport, version);
      // 3.1.1 has one code for it [v3 MQTT-3.9.3-2].
      const invalid = version === 5 ? 0x8f : 0x80;
      const good = `good/${versionName(version)}/${transport}`;
      const filters = [good, "a#", "a/#/b", "#/b", "b+", "+b/c", "", Array(129).fill("l").join("/"), `${good}/+`];
      const codes = await client.subscribe(filters.map((topic) => ({ topic, qos: 1 })));
      expect(codes).toEqual([1, ...Array<number>(7).fill(invalid), 1]); // [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.7.3-1]
      await client.publish(`${good}/x`, "still here", { qos: 1 });
      await client.expectMessage(`${good}/x`, "still here");
    },
  );
});

test("[MQTT-6.0.0-1] a text frame closes the WebSocket with 1003, before CONNECT and after it", async () => {
  const { default: WebSocket } = await import("ws");
  const bystander = await Bystander.connected(use.broker);
  const closeCode = (socket: InstanceType<typeof WebSocket>): Promise<number> =>
    new Promise((resolve) => socket.on("close", resolve));

  const silent = new WebSocket(use.broker.wsUrl, "mqtt");
  const silentClosed = closeCode(silent);
  silent.on("open", () => silent.send("CONNECT"));
  expect(await silentClosed).toBe(1003);

  const connected = new WebSocket(use.broker.wsUrl, "mqtt");
  const closed = closeCode(connected);
  const frames: string[] = [];
  connected.on("open", () => connected.send(packet(0x10, string("MQTT"), [5, 2], twoBytes(0), [0], string("texter"))));
  connected.on("message", (frame: Buffer) => {
    if (frames.push(frame.toString("hex")) === 1) connected.send("hello?");
  });
  expect(await closed).toBe(1003);
  expect(frames.map((frame) => frame.slice(0, 2))).toEqual(["20", "e0"]);
  expect(frames[1]).toMatch(/^e00[12]82/);
  await bystander.undisturbed();
});
