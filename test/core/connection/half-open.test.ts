/** Sockets of clients that nobody knows yet: many of them are bounded in number and in memory, as the isolate has 128 MB. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { OPEN_RECEPTION } from "../../../src/access/reception.ts";
import { identityOf } from "../../../src/core/authentication/asking.ts";
import { Connection } from "../../../src/core/connection/connection.ts";
import type { Effect } from "../../../src/core/connection/effects.ts";
import { DEFAULT_LIMITS, DEFAULT_SETTINGS, type Limits } from "../../../src/core/limits.ts";
import { type Stranger, Strangers } from "../../../src/core/strangers.ts";
import { LINK_VERSIONS } from "../../../src/link/records.ts";
import { packet } from "../../mqtt/notation.ts";
import { NO_ARRIVAL } from "../../support/reception.ts";

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc") as () => void;

const CONNECT = packet("10 ( 'MQTT' 05 02 0000 ( ) 'client' )");
/** CONNECT that promises a megabyte. */
const LARGE = Uint8Array.of(0x10, 0x80, 0x80, 0x3f);

/** An isolate, and sockets of it as its driver keeps them, with nobody to answer. */
class Isolate {
  readonly limits: Limits;
  readonly strangers: Strangers;
  now = 1_700_000_000_000;

  constructor(limits: Partial<Limits> = {}) {
    this.limits = { ...DEFAULT_LIMITS, ...limits };
    this.strangers = new Strangers(this.limits);
  }
}

class Socket implements Stranger {
  readonly #isolate: Isolate;
  readonly #connection: Connection;
  closed: number | undefined;
  sent = 0;

  constructor(isolate: Isolate) {
    this.#isolate = isolate;
    this.#connection = new Connection(
      {
        limits: isolate.limits,
        settings: DEFAULT_SETTINGS,
        placement: { shards: 4, depth: 2 },
        access: OPEN_RECEPTION,
        arrival: NO_ARRIVAL,
        tenant: "main",
        linkVersions: LINK_VERSIONS,
        connectionId: "auto",
        random: Math.random,
        bufferedBytes: () => 0,
      },
      isolate.now,
    );
    isolate.strangers.comes(this);
  }

  bytes(chunk: Uint8Array): void {
    this.#perform(this.#connection.bytes(chunk, this.#isolate.now));
  }

  admit(): void {
    this.#perform(this.#connection.answered({ type: "accepted", identity: identityOf(undefined) }, this.#isolate.now));
  }

  tick(): void {
    this.#perform(this.#connection.tick(this.#isolate.now));
  }

  turnAway(): void {
    this.#perform(this.#connection.turnAway(this.#isolate.now));
  }

  close(): void {
    this.#perform(this.#connection.clientClosed(this.#isolate.now));
  }

  #perform(effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (effect.type === "close") this.closed ??= effect.code;
      else if (effect.type === "send") this.sent += 1;
    }
    if (this.#connection.isStranger) this.#isolate.strangers.holds(this, this.#connection.heldBytes);
    else this.#isolate.strangers.leaves(this);
  }
}

function heldBytes(): number {
  for (let times = 0; times < 2; times++) gc();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

test("HALF_OPEN_MAX: of 15,000 sockets that say nothing the oldest 5,000 are closed, and the others cost 3 KB each at most", () => {
  const isolate = new Isolate();
  // What is compiled and made once.
  new Socket(isolate).close();
  const before = heldBytes();
  const sockets = Array.from({ length: 15_000 }, () => new Socket(isolate));
  expect(isolate.strangers.size).toBe(10_000);
  const away = sockets.splice(0, 5_000);
  expect(away.every(({ closed }) => closed === 1013)).toBe(true);
  expect(sockets.every(({ closed }) => closed === undefined)).toBe(true);
  away.length = 0;
  expect((heldBytes() - before) / 10_000).toBeLessThan(3_000);
  for (const socket of sockets) socket.close();
  expect(isolate.strangers.size).toBe(0);
});

test("half a CONNECT costs what was sent of it, whatever it promises and in whichever pieces it comes", () => {
  const isolate = new Isolate();
  const before = heldBytes();
  const sockets = Array.from({ length: 10_000 }, () => new Socket(isolate));
  for (let at = 0; at < 40; at++) {
    for (const socket of sockets) socket.bytes(Uint8Array.of(at < LARGE.length ? LARGE[at]! : 0));
  }
  expect(isolate.strangers.heldBytes).toBe(40 * 10_000);
  expect((heldBytes() - before) / 10_000).toBeLessThan(3_500);
  expect(sockets.every(({ closed, sent }) => closed === undefined && sent === 0)).toBe(true);
  for (const socket of sockets) socket.close();
  expect(isolate.strangers.heldBytes).toBe(0);
});

test("HALF_OPEN_BYTES_MAX: sockets that hold back the end of a large CONNECT are closed, the oldest first", () => {
  const isolate = new Isolate();
  const sockets: Socket[] = [];
  for (let count = 0; count < 100; count++) {
    const socket = new Socket(isolate);
    sockets.push(socket);
    socket.bytes(LARGE.slice());
    for (let sent = 0; sent < 10; sent++) socket.bytes(new Uint8Array(100_000));
    expect(isolate.strangers.heldBytes).toBeLessThanOrEqual(32 * 1024 * 1024);
  }
  const open = sockets.filter(({ closed }) => closed === undefined);
  expect(open).toEqual(sockets.slice(-open.length));
  expect(open.length).toBe(33);
  for (const socket of sockets) socket.close();
});

test("a client that is admitted is no stranger, and is not turned away however many come after it", () => {
  const isolate = new Isolate({ halfOpenMax: 10 });
  const client = new Socket(isolate);
  client.bytes(CONNECT.slice());
  expect(isolate.strangers.size).toBe(1);
  client.admit();
  expect(isolate.strangers.size).toBe(0);
  const others = Array.from({ length: 100 }, () => new Socket(isolate));
  expect(client.closed).toBeUndefined();
  expect(others.filter(({ closed }) => closed !== undefined)).toHaveLength(90);
});

test("[MQTT §3.2.2.2] a client that is being asked about is answered 0x89 when it is turned away", () => {
  const isolate = new Isolate({ halfOpenMax: 1 });
  const client = new Socket(isolate);
  client.bytes(CONNECT.slice());
  const other = new Socket(isolate);
  expect([client.sent, client.closed, other.closed]).toEqual([1, 1013, undefined]);
  // The answer to the question comes too late.
  client.admit();
  expect(isolate.strangers.size).toBe(1);
});

test("CONNECT_SECONDS_MAX: whoever drips its CONNECT is closed like who says nothing, and is no stranger any more", () => {
  const isolate = new Isolate();
  const socket = new Socket(isolate);
  for (let second = 0; second < 11; second++) {
    socket.bytes(CONNECT.slice(second, second + 1));
    isolate.now += 1_000;
    socket.tick();
  }
  expect(socket.closed).toBe(1002);
  expect([isolate.strangers.size, isolate.strangers.heldBytes]).toEqual([0, 0]);
});
