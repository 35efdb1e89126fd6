/** The rules of CONNECT and CONNACK that no other file shows, over the whole broker. */
import { describe, expect, test } from "vitest";
import type { Client } from "../../sim/world/client.ts";
import { wire } from "../../support/wire.ts";
import { World } from "../../sim/world/world.ts";
import { packet } from "../../mqtt/notation.ts";

const KEEPING = { clean: false, properties: { sessionExpiryInterval: 3600 } };
const will = { topic: "will", payload: Buffer.from("gone"), qos: 1 as const, retain: false };

function leave(client: Client): void {
  client.send({ cmd: "disconnect", reasonCode: 0 });
  client.world.advance(3_000);
}

/** A session of `client` that is away, with a message waiting for it. */
function waiting(): World {
  const world = new World();
  const client = world.connected("client", KEEPING);
  client.subscribe("t");
  world.settle();
  leave(client);
  world.connected("publisher").publish("t", "waited", { qos: 1 });
  world.settle();
  return world;
}

describe("a session", () => {
  test("[MQTT-3.1.3-2] is found by its client id, byte for byte, and by nothing else", () => {
    const world = waiting();
    for (const id of ["Client", "client ", "clien", "\ufeffclient", "cl\u0456ent"]) {
      const other = world.connected(id, KEEPING);
      expect(other.last("connack")!.sessionPresent, id).toBe(false);
      expect(other.payloads).toEqual([]);
    }
    const again = world.connected("client", KEEPING, 5, "another worker");
    expect(again.last("connack")!.sessionPresent).toBe(true);
    expect(again.payloads).toEqual(["waited"]);
  });

  test("[MQTT-3.1.3-7] [MQTT-3.2.2-16] of an assigned id goes on as any other, under the id that CONNACK says", () => {
    const world = new World();
    const first = world.client("");
    first.raw(packet("10 ( 'MQTT' 05 00 0000 ( 11 00000e10 ) '' )"));
    world.settle();
    const { assignedClientIdentifier: id } = first.last("connack")!.properties!;
    first.subscribe("t");
    world.settle();
    leave(first);
    world.connected("publisher").publish("t", "waited", { qos: 1 });
    world.settle();
    const again = world.connected(id as string, KEEPING);
    expect(again.last("connack")!.sessionPresent).toBe(true);
    expect(again.last("connack")!.properties).not.toHaveProperty("assignedClientIdentifier");
    expect(again.payloads).toEqual(["waited"]);
  });

  test("[MQTT-3.1.4-4] [MQTT-3.1.4-5] [MQTT-3.2.2-2] Clean Start is carried out before CONNACK 0x00, though the shards are away", () => {
    const world = waiting();
    for (const shard of world.shards) {
      shard.reachable = false;
      shard.crash();
    }
    const client = world.connected("client", { clean: true, properties: { sessionExpiryInterval: 3600 } });
    expect(client.received).toMatchObject([{ cmd: "connack", reasonCode: 0, sessionPresent: false }]);
    for (const shard of world.shards) shard.reachable = true;
    world.advance(60_000);
    expect(client.payloads).toEqual([]);
    expect(client.closed).toBeUndefined();
    leave(client);
    expect(world.connected("client", KEEPING).payloads).toEqual([]);
  });

  test("[MQTT §3.1.2.11.2] of 0xFFFFFFFF seconds does not expire, if the broker keeps sessions for so long", () => {
    const world = new World({ limits: { sessionExpirySecondsMax: 0xffff_ffff } });
    const never = { clean: false, properties: { sessionExpiryInterval: 0xffff_ffff } };
    const client = world.connected("client", never);
    expect(client.last("connack")!.properties).not.toHaveProperty("sessionExpiryInterval");
    client.subscribe("t");
    world.settle();
    leave(client);
    world.advance(10 * 365 * 24 * 3600 * 1000);
    expect(world.connected("client", never).last("connack")!.sessionPresent).toBe(true);
  });
});

describe("CONNACK", () => {
  test("[MQTT-3.2.0-1] [MQTT-3.2.0-2] is the first packet, and the only one of its kind", () => {
    const world = waiting();
    const client = world.client("client");
    client.connect(KEEPING);
    client.send({ cmd: "pingreq" });
    client.publish("t", "own", { qos: 1 });
    client.subscribe("#");
    world.advance(5_000);
    expect(client.received[0]).toMatchObject({ cmd: "connack", reasonCode: 0 });
    expect(client.all("connack")).toHaveLength(1);
    expect(client.payloads.toSorted()).toEqual(["own", "waited"]);
  });

  test("[MQTT-3.2.2-1] [MQTT-3.2.2-6] has no flag but session present, and in a refusal not that", () => {
    const world = waiting();
    const flags = (options: object): string => {
      const client = world.client("client");
      const sent = wire(client);
      client.connect(options);
      world.settle();
      return sent[0]!.replace(/^20..(..)(..).*/, "$1 $2");
    };
    expect(flags(KEEPING)).toBe("01 00");
    expect(flags({ ...KEEPING, properties: { sessionExpiryInterval: 3600, receiveMaximum: 9 } })).toBe("01 00");
    // A well-formed CONNECT for the session that there is, with a will that nobody may have.
    expect(flags({ ...KEEPING, will: { ...will, topic: "$SYS/x" } })).toBe("00 87");
    expect(flags({ clean: true })).toBe("00 00");
  });

  test.each([
    ["[MQTT-3.1.4-1] a byte too many", "10 ( 'MQTT' 05 02 0000 ( ) 'c' 00 )", 0x81],
    ["[MQTT-3.1.2-3] the reserved flag", "10 ( 'MQTT' 05 03 0000 ( ) 'c' )", 0x81],
    ["[MQTT-2.1.3-1] flags of the fixed header", "11 ( 'MQTT' 05 02 0000 ( ) 'c' )", 0x81],
    ["[MQTT-3.1.2-12] will QoS 3", "10 ( 'MQTT' 05 1e 0000 ( ) 'c' ( ) 'w' [ ] )", 0x81],
    ["[MQTT-3.1.3-4] a client id that is not UTF-8", "10 ( 'MQTT' 05 02 0000 ( ) [ ff ] )", 0x81],
    ["[§2.2.2.2] a property twice", "10 ( 'MQTT' 05 02 0000 ( 21 0001 21 0001 ) 'c' )", 0x82],
    ["[§2.2.2.2] a property of another packet", "10 ( 'MQTT' 05 02 0000 ( 23 0001 ) 'c' )", 0x81],
    ["[§3.1.2.11.3] Receive Maximum 0", "10 ( 'MQTT' 05 02 0000 ( 21 0000 ) 'c' )", 0x82],
    ["[§3.1.2.11.4] Maximum Packet Size 0", "10 ( 'MQTT' 05 02 0000 ( 27 00000000 ) 'c' )", 0x82],
    ["[§3.1.2.11.7] Request Problem Information 2", "10 ( 'MQTT' 05 02 0000 ( 17 02 ) 'c' )", 0x82],
    ["[§3.1.2.11.10] authentication data without a method", "10 ( 'MQTT' 05 02 0000 ( 16 [ 01 ] ) 'c' )", 0x82],
    ["[MQTT-3.1.3-11] a will topic with a wildcard", "10 ( 'MQTT' 05 06 0000 ( ) 'c' ( ) 'w/#' [ ] )", 0x90],
    ["[MQTT-3.3.2-14] a will's response topic with one", "10 ( 'MQTT' 05 06 0000 ( ) 'c' ( 08 '+' ) 'w' [ ] )", 0x82],
    ["[MQTT-3.1.3-8] a client id above the limit", "10 ( 'MQTT' 05 02 0000 ( ) [ 61*300 ] )", 0x85],
  ])("%s is refused, closed, and leaves nothing [MQTT-3.2.2-7] [MQTT-4.13.2-1]", (_what, notation, reason) => {
    const world = new World();
    const client = world.client("client");
    client.raw(packet(notation));
    client.publish("t", "behind", { qos: 1 });
    world.advance(60_000);
    expect(client.received).toMatchObject([{ cmd: "connack", reasonCode: reason, sessionPresent: false }]);
    expect(client.closed).toBeDefined();
    expect(client.driver.done).toBe(true);
    expect(world.sessions.size).toBe(0);
  });

  test.each([
    ["level 6", "10 ( 'MQTT' 06 02 0000 ( ) 'c' )", ["2003008400"]],
    ["level 3 with the name of 3.1.1", "10 ( 'MQTT' 03 02 0000 'c' )", ["20020001"]],
    ["level 132, of a bridge", "10 ( 'MQTT' 84 02 0000 'c' )", ["20020001"]],
    ["level 4 with the name of 3.1", "10 ( 'MQIsdp' 04 02 0000 'c' )", ["20020001"]],
    ["another name", "10 ( 'AMQP' 04 02 0000 'c' )", []],
    ["a name in lower case", "10 ( 'mqtt' 05 02 0000 ( ) 'c' )", []],
  ])(
    "[MQTT-3.1.2-1] [MQTT-3.1.2-2] %s is told so in a form that it reads, if there is one, and closed",
    (_what, notation, answers) => {
      const world = new World();
      const client = world.client("client", 4);
      const sent: string[] = [];
      client.deliver = (bytes) => sent.push(Buffer.from(bytes).toString("hex"));
      client.raw(packet(notation));
      world.settle();
      expect(sent).toEqual(answers);
      expect(client.closed).toBeDefined();
    },
  );

  test.each([
    ["a wildcard", "w/#", 0x90],
    ["129 levels", Array(129).fill("w").join("/"), 0x90],
    ["the server's own name", "$SYS/w", 0x87],
  ])(
    "[MQTT-3.1.4-2] a will with %s for its topic is refused in 5.0, and in 3.1.1 as far as there is a code",
    (_what, topic, reason) => {
      for (const version of [4, 5] as const) {
        const world = new World();
        const client = world.client("client", version);
        const sent = wire(client);
        const properties = version === 5 ? "( )" : "";
        client.raw(packet(`10 ( 'MQTT' 0${version} 06 0000 ${properties} 'c' ${properties} '${topic}' [ ] )`));
        world.settle();
        const old = reason === 0x87 ? ["20020005"] : [];
        expect(sent).toEqual(version === 5 ? [`200300${reason.toString(16)}00`] : old);
        expect(client.closed).toBeDefined();
      }
    },
  );

  test("[MQTT-4.13.2-1] a refusal closes also where it cannot be sent", () => {
    const world = new World();
    const client = world.connected("client", {
      properties: { maximumPacketSize: 3 },
      will: { ...will, topic: "$SYS/x" },
    });
    expect(client.received).toEqual([]);
    expect(client.closed).toBeDefined();
  });

  test.each([undefined, false, true])(
    "[MQTT-3.1.2-28] asked for Response Information %s, none is returned",
    (wanted) => {
      const properties = wanted === undefined ? {} : { requestResponseInformation: wanted };
      const client = new World().connected("client", { properties });
      expect(client.last("connack")!.reasonCode).toBe(0);
      expect(client.last("connack")!.properties).not.toHaveProperty("responseInformation");
    },
  );

  test("[MQTT-4.12.0-6] names no authentication method where CONNECT named none, and no AUTH comes", () => {
    const world = new World();
    const client = world.connected("client", { username: "u", password: Buffer.from("p") });
    world.advance(60_000);
    expect(client.received.map(({ cmd }) => cmd)).toEqual(["connack"]);
    expect(client.last("connack")!.properties).not.toHaveProperty("authenticationMethod");
  });

  test("[MQTT-4.12.0-7] AUTH of a client whose CONNECT named no method is a protocol error", () => {
    for (const notation of ["f0 ( 18 ( 15 'SCRAM' ) )", "f0 ( 19 ( 15 'SCRAM' ) )", "f0 ( )"]) {
      const world = new World();
      const client = world.connected("client");
      client.raw(packet(notation));
      world.settle();
      expect(client.received.slice(1)).toMatchObject([{ cmd: "disconnect", reasonCode: 0x82 }]);
      expect(client.closed).toBe(1002);
    }
  });
});

/** Ends of a connection that the server chooses, each with what brings it about. */
const ENDS: [string, (world: World, client: Client) => void][] = [
  ["the keep alive", (world) => world.advance(16_000)],
  ["a protocol error", (_, client) => client.raw(packet("d0 ( )"))],
  ["a malformed packet", (_, client) => client.raw(packet("c0 ( 00 )"))],
  ["a packet that is too large", (_, client) => client.raw(packet("30 ffffff7f"))],
  ["a text frame", (_, client) => client.driver.textFrame()],
  ["a takeover", (world) => void world.connected("client")],
];

test.each(ENDS.flatMap(([what, end]) => ([3, 4, 5] as const).map((version) => [what, version, end] as const)))(
  "[MQTT-3.1.2-8] an end that the server chooses, by %s, brings the will of version %i",
  (_what, version, end) => {
    const world = new World();
    const watcher = world.connected("watcher");
    watcher.subscribe("will");
    world.settle();
    const client = world.connected("client", { will, keepalive: 10 }, version);
    end(world, client);
    world.advance(3_000);
    expect(client.closed).toBeDefined();
    expect(watcher.payloads).toEqual(["gone"]);
  },
);

test("[MQTT-1.5.4-1] control characters are taken in client ids, user names and will topics, as in topics", () => {
  const world = new World();
  const watcher = world.connected("watcher");
  watcher.subscribe("w\u0001\u009f", 1);
  world.settle();
  const options = { username: "u\u0007", will: { ...will, topic: "w\u0001\u009f" } };
  const client = world.connected("c\u0001\u007f", options);
  expect(client.last("connack")!.reasonCode).toBe(0);
  client.cut();
  world.advance(3_000);
  expect(watcher.payloads).toEqual(["gone"]);
});

describe("a will", () => {
  /** Lets a client with this will vanish, and answers what a later subscriber and an earlier one get. */
  function left(options: object): { live: Client; later: Client } {
    const world = new World();
    const live = world.connected("live");
    live.subscribe([{ topic: "will", rap: true }]);
    world.settle();
    const client = world.connected("client", { will: { ...will, ...options } });
    client.cut();
    world.advance(10_000);
    const later = world.connected("later");
    later.subscribe("will");
    world.settle();
    return { live, later };
  }

  test("[MQTT-3.1.2-14] without retain is not retained", () => {
    const { live, later } = left({ retain: false });
    expect(live.all("publish")).toMatchObject([{ retain: false }]);
    expect(later.payloads).toEqual([]);
  });

  test("[MQTT-3.1.2-15] with retain is retained, with its QoS", () => {
    const { live, later } = left({ retain: true });
    expect(live.all("publish")).toMatchObject([{ retain: true, qos: 1 }]);
    expect(later.all("publish")).toMatchObject([{ retain: true, qos: 1 }]);
  });

  test("[MQTT-3.1.3-10] brings its properties as they came and in order, and no Will Delay Interval", () => {
    const world = new World();
    const live = world.connected("live");
    live.subscribe("w");
    world.settle();
    const sent = wire(live);
    const client = world.client("client");
    client.raw(
      packet(
        "10 ( 'MQTT' 05 06 0000 ( ) 'c' ( 26 'b' '1' 18 00000001 26 'a' '2' 02 0000003c 26 'b' '3' 01 01 03 't' 08 'r' 09 [ 09 ] ) 'w' [ 78 ] )",
      ),
    );
    world.settle();
    client.cut();
    world.advance(10_000);
    const properties = "02 0000003c 26 'b' '1' 26 'a' '2' 26 'b' '3' 01 01 03 't' 08 'r' 09 [ 09 ]";
    const [got] = sent.filter((one) => one.startsWith("3"));
    expect(got).toBe(Buffer.from(packet(`30 ( 'w' ( ${properties} ) 78 )`)).toString("hex"));
  });

  test("[MQTT-3.8.3-3] is its client's own message for No Local", () => {
    const world = new World();
    const device = world.connected("device", { ...KEEPING, will });
    device.subscribe([{ topic: "will", nl: true }]);
    const other = world.connected("other");
    other.subscribe([{ topic: "will", nl: true }]);
    world.settle();
    device.cut();
    world.advance(60_000);
    expect(other.payloads).toEqual(["gone"]);
    const again = world.connected("device", KEEPING);
    expect(again.last("connack")!.sessionPresent).toBe(true);
    expect(again.payloads).toEqual([]);
  });
});

test("[MQTT-3.1.3-5] client ids of 1 to 23 of each of the letters and digits are taken, in every version", () => {
  const letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  const world = new World();
  for (const version of [3, 4, 5] as const) {
    for (const id of ["0", "Z", letters.slice(0, 23), letters.slice(23, 46), letters.slice(-23)]) {
      const client = world.connected(`${id}`, {}, version);
      expect(client.last("connack"), id).toMatchObject(version === 5 ? { reasonCode: 0 } : { returnCode: 0 });
    }
  }
});

test("[MQTT-3.1.4-3] of a client that connects again the old connection is told 0x8E, closed, and told nothing more", () => {
  const world = new World();
  const old = world.connected("client", KEEPING);
  old.subscribe("t");
  world.settle();
  const sent = wire(old);
  world.connected("client", KEEPING);
  world.connected("publisher").publish("t", "x", { qos: 1 });
  world.settle();
  expect(sent).toEqual(["e0028e00"]);
  expect(old.closed).toBeDefined();
});
