/** Faults of session objects (`src/core/session`). */

import { mutant, of, RARE, unseen } from "./mutant.ts";

const session = of("src/core/session/session.ts");
const wills = of("src/core/session/wills.ts");
const wipes = of("src/core/session/wipes.ts");
const attempts = of("src/core/session/attempts.ts");
const store = of("src/core/session/store.ts");

export const SESSION = [
  // Which connection.
  mutant(
    "an earlier connection comes back and takes the session over",
    30,
    "closed",
    session("if (fence.epoch < this.#latest.epoch || ended ||", "if (ended ||"),
  ),

  mutant(
    "epochs begin again at 1 where nothing is stored",
    20,
    ["closed", "will lost", "stuck"],
    session("epoch: Math.max(this.#latest.epoch + 1, now),", "epoch: this.#latest.epoch + 1,"),
  ),
  mutant(
    "a clean start keeps the generation",
    10,
    "thrown",
    session(
      "generation: resumed?.generation ?? Math.max(this.#latest.generation + 1, now),",
      "generation: this.#latest.generation || now,",
    ),
  ),

  mutant(
    "clean start finds the session",
    10,
    ["session present", "uninvited"],
    session("connect.cleanStart ? undefined : this.#resumable(now)", "this.#resumable(now)"),
  ),

  // How long.
  mutant(
    "a session expires while its connection is there",
    30,
    "closed",
    session("    if (this.#kept?.goneAt !== undefined) this.#putSession({ ...this.#kept, goneAt: undefined });\n", ""),
  ),
  mutant(
    "an alarm that comes early ends the session",
    10,
    "session present",
    session(
      "    if (this.#expiresAt !== undefined && this.#expiresAt <= now) {\n      this.#store.transaction(",
      "    if (this.#expiresAt !== undefined) {\n      this.#store.transaction(",
    ),
  ),

  mutant(
    "the expiry interval of an earlier connection holds",
    10,
    "session present",
    session(
      "else this.#gone({ ...this.#kept, expirySeconds }, Math.min(goneAt, now), now);",
      "else this.#gone(this.#kept, Math.min(goneAt, now), now);",
    ),
    session(
      "if (!this.#kept || expirySeconds === 0) this.#endSession(now);",
      "if (!this.#kept) this.#endSession(now);",
    ),
  ),
  mutant(
    "a session counts as over at once when its link breaks",
    10,
    "closed",
    session(
      "if (this.#kept && this.#kept.goneAt === undefined) this.#gone(this.#kept, now + GRACE_MS, now);",
      "if (this.#kept && this.#kept.goneAt === undefined) this.#gone(this.#kept, now, now);",
    ),
  ),

  mutant(
    "a session expires ten seconds late",
    10,
    "will unwanted",
    session("return goneAt + expirySeconds! * 1000;", "return goneAt + expirySeconds! * 1000 + 10_000;"),
  ),

  // What is kept.
  mutant(
    "the set of shards does not grow",
    10,
    "left behind",
    session("shards: [...kept.shards, ...more]", "shards: more"),
  ),
  mutant("a resumed session has no shards", 10, "left behind", session("shards: resumed?.shards ?? []", "shards: []")),
  mutant(
    "a subscription that was given up stays in the list",
    10,
    "uninvited",
    session("      for (const filter of remove) this.#store.deleteSubscription(filter);\n", ""),
  ),
  mutant(
    "the list keeps the terms of a subscription that was replaced",
    10,
    "terms",
    store(
      '"INSERT OR REPLACE INTO subscription (filter, flags, identifier) VALUES (?, ?, ?)"',
      '"INSERT OR IGNORE INTO subscription (filter, flags, identifier) VALUES (?, ?, ?)"',
    ),
  ),
  mutant(
    "an object that restarts does not know how long its session outlives its connection",
    20,
    "session present",
    store('expirySeconds: row["expiry_seconds"] as number,', "expirySeconds: 1,"),
  ),
  mutant(
    "an object that restarts does not know that its client is gone",
    40,
    "session present",
    store('goneAt: (row["gone_at"] as number | null) ?? undefined,', "goneAt: undefined,"),
  ),

  // Wipes.
  mutant(
    "shards are not told that a session is over",
    10,
    "left behind",
    session("for (const shard of shards) this.#wipes.add({ shard, generation });", "void shards, generation;"),
  ),

  mutant(
    "a call is not made again while the one before it is under way, dead or not",
    20,
    "thrown",
    attempts(
      "if (attempt && (attempt.underWay || attempt.nextAt > now)) return false;",
      "if (attempt && (attempt.underWay || attempt.nextAt > now)) return false;\n    if (attempt && attempt.failures > 0) return false;",
    ),
  ),

  // Wills.
  mutant(
    "a will whose client said goodbye stays",
    10,
    "will unwanted",
    session(
      "      if (!publishWill) this.#wills.drop(epoch, now);\n",
      "      if (!publishWill && epoch < 0) this.#wills.drop(epoch, now);\n",
    ),
  ),
  mutant(
    "a will does not wait for its delay",
    10,
    "will unwanted",
    session(
      "this.#wills.setDue(kept.epoch, at + delaySeconds * 1000, now);",
      "this.#wills.setDue(kept.epoch, at, now);",
    ),
  ),

  mutant(
    "the end of a session forgets its will",
    10,
    ["will lost", "stuck"],
    wills(
      "      if (held) this.drop(epoch, now);\n      else this.setDue(epoch, now, now);\n    }\n  }\n\n  /** Calls",
      "      if (held || epoch > 0) this.drop(epoch, now);\n    }\n  }\n\n  /** Calls",
    ),
  ),
  mutant(
    "a will with a delay is published although the session goes on",
    10,
    "will unwanted",
    wills(
      "if (delaySeconds > 0 || held) this.drop(epoch, now);\n      else",
      "if (held) this.drop(epoch, now);\n      else",
    ),
  ),
  mutant(
    "a will without a delay is dropped by who takes the session over",
    10,
    ["will lost", "stuck"],
    wills(
      "if (delaySeconds > 0 || held) this.drop(epoch, now);\n      else",
      "if (delaySeconds >= 0 || held) this.drop(epoch, now);\n      else",
    ),
  ),
  mutant(
    "an alarm that comes early publishes a will",
    10,
    "will unwanted",
    wills("  return due !== undefined && due <= now;", "  return due !== undefined || now < 0;"),
  ),

  mutant(
    "a will is forgotten when the call begins",
    10,
    ["will lost", "stuck"],
    wills(
      "if (isDue(will, now) && this.#attempts.begin(epoch, now)) publish({ generation, epoch, connection }, message);",
      "if (isDue(will, now) && this.#attempts.begin(epoch, now)) {\n        publish({ generation, epoch, connection }, message);\n        this.#forget(epoch);\n      }",
    ),
  ),
];

export const SESSION_UNSEEN = [
  unseen(
    "a connection that comes back does not take its will back",
    RARE,
    session("    this.#wills.setDue(fence.epoch, undefined, now);\n", ""),
  ),
  unseen(
    "a connection that was taken over asks again, and takes over itself",
    RARE,
    session("if (this.#superseded.includes(connect.connection)) {", "if (this.#superseded.length < 0) {"),
  ),
  unseen(
    "a taken over connection is not told",
    RARE,
    session(
      "    if (this.#current) this.#refuse(this.#current.id, Reason.SessionTakenOver);\n    this.#current = undefined;\n    this.#leaving",
      "    this.#current = undefined;\n    this.#leaving",
    ),
  ),
  unseen(
    "an object that restarts does not know its stored session's epoch",
    RARE,
    session(
      "if (epoch >= this.#latest.epoch) this.#latest =",
      "if (epoch >= this.#latest.epoch && links.length > 0) this.#latest =",
    ),
  ),
  unseen(
    "a session that was to end with its connection is found again",
    RARE,
    session("return this.#kept && this.#kept.expirySeconds > 0 ? this.#kept : undefined;", "return this.#kept;"),
  ),
  unseen(
    "an older link of a connection closes the newer one",
    RARE,
    session("if (epoch === fence.epoch && number > connect.link) {", "if (epoch === fence.epoch && number < 0) {"),
  ),
  unseen(
    "an expired session is found until its alarm has gone off",
    RARE,
    session("    if (this.#expiresAt !== undefined && this.#expiresAt <= now) return undefined;\n", ""),
  ),
  unseen(
    "a session expires a second early",
    RARE,
    session("return goneAt + expirySeconds! * 1000;", "return goneAt + expirySeconds! * 1000 - 1000;"),
  ),
  unseen(
    "an object that restarts does not wait for its connection",
    RARE,
    session("    if (!this.#current) this.#expect(now);", ""),
  ),
  unseen(
    "nobody looks whether a connection is still there",
    "it takes twelve hours, and the trial rings that alarm itself",
    session(
      "    if (this.#current && (this.#kept || this.#wills.get(this.#latest.epoch))) times.push(this.#stillHereAt);\n",
      "",
    ),
  ),
  unseen(
    "an object that restarts forgets which shards have still to forget",
    RARE,
    wipes("new Map(store.wipes().map(({ shard, generation }) => [shard, generation]))", "new Map<number, number>()"),
  ),
  unseen(
    "a wipe that failed is not tried again",
    RARE,
    wipes("if (this.#wipes.get(shard) === generation) this.#attempts.failed(shard, now);", "void now;"),
  ),
  unseen(
    "a wipe counts as done when an earlier generation's is",
    RARE,
    wipes("    if (this.#wipes.get(shard) !== generation) return;\n", ""),
  ),
  unseen(
    "no alarm is set for what is still to be wiped",
    RARE,
    wipes("at = Math.min(at ?? Infinity, this.#attempts.at(shard, 0));", "at = undefined;"),
  ),
  unseen(
    "the delay of a will outlasts its session",
    "the end of the session makes its will due all the same",
    session("const delaySeconds = Math.min(will.delaySeconds, kept.expirySeconds);", "const { delaySeconds } = will;"),
  ),
  unseen(
    "a will is late by its delay",
    "how late a will may be is not judged: a shard that is away is asked again after up to ten minutes",
    session(
      "this.#wills.setDue(kept.epoch, at + delaySeconds * 1000, now);",
      "this.#wills.setDue(kept.epoch, at + 2 * delaySeconds * 1000, now);",
    ),
  ),
  unseen(
    "a connection comes back whose will is on its way",
    RARE,
    session("if (due !== undefined && due <= now) return true;", "if (due === 0) return true;"),
  ),
  unseen(
    "a will counts as published when its shard could not be reached",
    RARE,
    wills("    this.#attempts.failed(epoch, now);", "    this.published(epoch);\n    void now;"),
  ),
  unseen(
    "an object that restarts does not know when its will is due",
    RARE,
    store('due: (row["due"] as number | null) ?? undefined,', "due: undefined,"),
  ),
  unseen(
    "a will loses RETAIN in storage",
    RARE,
    store(
      'message: readMessage(new ByteReader(row["message"] as Uint8Array)),',
      'message: { ...readMessage(new ByteReader(row["message"] as Uint8Array)), retain: false },',
    ),
  ),
];
