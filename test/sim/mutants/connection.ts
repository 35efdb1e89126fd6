/** Faults of a client's connection (`src/core/connection`). */

import { mutant, of, RARE, unseen } from "./mutant.ts";

const connection = of("src/core/connection/connection.ts");
const publishing = of("src/core/connection/publishing.ts");
const subscribing = of("src/core/connection/subscribing.ts");
const shardLink = of("src/core/connection/shard-link.ts");
const shardLinks = of("src/core/connection/shard-links.ts");
const sessionLink = of("src/core/connection/session-link.ts");
const window = of("src/core/connection/window.ts");
const aliases = of("src/core/connection/aliases.ts");
const linkLife = of("src/core/connection/link-life.ts");
const leaving = of("src/core/connection/leaving.ts");
const rights = of("src/core/connection/rights.ts");
const standing = of("src/core/connection/standing.ts");
const deciding = of("src/core/connection/deciding.ts");

export const CONNECTION = [
  // Publishing.
  mutant(
    "PUBACK leaves before the shard has the message",
    10,
    ["lost", "stuck"],
    publishing(
      "    if (packet.qos > 0) {\n      this.#own(packet.packetId, bytes);",
      "    if (packet.qos > 0) {\n      this.#own(packet.packetId, bytes);\n      if (packet.qos === 1) this.#answer(1, packet.packetId, Reason.Success);",
    ),
    publishing(
      "this.#take(packetId, link.shard);\n    this.#answer(qos, packetId, reason);",
      "this.#take(packetId, link.shard);\n    if (qos === 2) this.#answer(qos, packetId, reason);",
    ),
  ),
  mutant(
    "PUBCOMP leaves before the shard has forgotten the id",
    60,
    ["thrown", "closed"],
    publishing(
      "      this.#releasing.add(packetId);\n",
      "      this.#releasing.add(packetId);\n      this.#host.output.push(encodeAck(PacketType.PUBCOMP, packetId, this.#version, Reason.Success));\n",
    ),
    publishing(
      "    this.#received.delete(packetId);\n    this.#host.output.push(encodeAck(PacketType.PUBCOMP, packetId, this.#version, Reason.Success));",
      "    this.#received.delete(packetId);",
    ),
  ),

  mutant(
    "a QoS 2 PUBLISH goes to a shard before its session object knows of it",
    10,
    "left behind",
    publishing(
      "(packet.qos === 2 && !this.#host.uses(route.shard))",
      "(packet.qos === 3 && !this.#host.uses(route.shard))",
    ),
  ),
  mutant(
    "a topic alias keeps the topic that it had first",
    30,
    ["unsent", "lost", "stuck"],
    aliases(
      "      this.#topics.set(alias, topic);\n      return topic;",
      "      if (!this.#topics.has(alias)) this.#topics.set(alias, topic);\n      return topic;",
    ),
  ),

  // Going on over a new link.
  mutant("a hello brings no cursor", 10, ["repeated", "dup"], shardLink("cursor: this.#cursor,", "cursor: undefined,")),
  mutant(
    "the cursor of a hello is one too high",
    10,
    ["lost", "stuck"],
    shardLink("cursor: this.#cursor,", "cursor: this.#cursor === undefined ? undefined : this.#cursor + 1,"),
  ),
  mutant(
    "the cursor of a hello is one too low",
    10,
    "repeated",
    shardLink("cursor: this.#cursor,", "cursor: this.#cursor === undefined ? undefined : this.#cursor - 1,"),
  ),

  mutant(
    "a hello does not say what is in flight",
    20,
    "stuck",
    shardLink("inflight: [...this.inflight.values(), ...this.#resuming.values()],", "inflight: [],"),
  ),
  mutant(
    "a hello leaves out what is still to be sent again",
    60,
    "packet id",
    shardLink(
      "inflight: [...this.inflight.values(), ...this.#resuming.values()],",
      "inflight: [...this.inflight.values()],",
    ),
  ),

  mutant(
    "what was not answered goes again in the opposite order",
    10,
    "order",
    shardLink("again.toSorted((a, b) => a.order - b.order)", "again.toSorted((a, b) => b.order - a.order)"),
  ),
  mutant(
    "what was answered is sent again over a new link",
    10,
    "thrown",
    shardLink(
      "    this.#unanswered.delete(packetId);\n    return qos",
      "    if (qos !== 2) this.#unanswered.delete(packetId);\n    return qos",
    ),
  ),

  mutant(
    "a connection forgets how far retained messages have come",
    10,
    "repeated",
    shardLink("subscription.scan = after === undefined ? undefined : { ...subscription.scan, after };", "void after;"),
  ),

  mutant(
    "a broken link is given up although it came back in time",
    30,
    "closed",
    linkLife("    this.#attempts = 0;\n    this.#brokenSince = undefined;", "    this.#attempts = 0;"),
  ),
  mutant(
    "a link that was greeted is not opened again",
    10,
    "thrown",
    linkLife(
      '      case "waiting":\n        this.#phase = "closed";\n        this.open(now);',
      '      case "waiting":\n        this.#phase = "closed";',
    ),
  ),

  // Deliveries and their window.
  mutant(
    "PUBREL leaves before it is stored that the client has the message",
    40,
    "repeated",
    shardLink('    return "recording";', '    delivery.phase = Phase.Received;\n    return "recorded";'),
  ),
  mutant(
    "acknowledgements do not reach the shard",
    20,
    "repeated",
    shardLink("    if (this.life.usable) records.writeAck(this.batch.records, packetId);\n", ""),
  ),
  mutant(
    "an acknowledgement gives two grants",
    10,
    "receive maximum",
    window(
      "    share.granted += 1;\n    return [{ shard, grant: 1, recall: 0 }];",
      "    share.granted += 1;\n    return [{ shard, grant: 2, recall: 0 }];",
    ),
  ),
  mutant(
    "deliveries do not use grants up",
    10,
    "thrown",
    window("    share.granted -= count;\n    share.outstanding += count;", "    share.outstanding += count;"),
  ),
  mutant(
    "what is unacknowledged does not count against the window",
    10,
    "receive maximum",
    window(
      'return this.#size - this.#sum("granted") - this.#sum("outstanding");',
      'return this.#size - this.#sum("granted");',
    ),
  ),
  mutant(
    "a new link has an even share besides what is unacknowledged there",
    30,
    "receive maximum",
    window(
      "share.granted = Math.max(0, Math.min(this.#evenShare - share.outstanding, this.#free));",
      "share.granted = this.#evenShare;",
    ),
  ),
  mutant(
    "grants that came back are not given to others",
    20,
    "thrown",
    window("    share.granted -= count;\n    share.recalled = 0;", "    share.recalled = 0;"),
  ),

  mutant(
    "the client's Receive Maximum is not asked for",
    10,
    "receive maximum",
    connection("Math.min(connect.receiveMaximum ?? 65_535, limits.inflightMax)", "limits.inflightMax"),
  ),
  mutant(
    "a client that reads again is not reported to the shards that asked",
    20,
    ["lost", "will lost", "stuck"],
    shardLinks("if (link.asked && link.life.usable) records.writeDrained(link.batch.records);\n", ""),
  ),

  // Subscriptions.
  mutant(
    "SUBACK does not wait for all shards",
    10,
    ["lost", "stuck"],
    subscribing(
      "if (pending.entries.some((entry) => entry.waiting.size > 0)) return;",
      "if (pending.entries.some((entry) => entry.waiting.size > 0 && entry.confirmed.size === 0)) return;",
    ),
  ),

  mutant(
    "a resumed client is told that it had not what it unsubscribes from",
    10,
    "answer",
    connection("      this.#subscribing.resume(allowed);\n", ""),
  ),
  mutant(
    "the hello of a resumed session names no subscription",
    10,
    ["answer", "lost", "will lost"],
    shardLinks(
      "this.to(shard, now).subscriptions.set(subscription.filter, resumed(subscription));",
      "this.to(shard, now);",
    ),
  ),

  mutant(
    "UNSUBSCRIBE is told to one shard",
    10,
    "uninvited",
    subscribing(
      "    if (!this.#remove(filter) && !this.#unsure.has(filter) && this.#host.resumed) return entry;\n    for (const shard of shardsOfFilter(filter, this.#host.placement)) entry.waiting.add(shard);",
      "    if (!this.#remove(filter) && !this.#unsure.has(filter) && this.#host.resumed) return entry;\n    for (const shard of shardsOfFilter(filter, this.#host.placement).slice(0, 1)) entry.waiting.add(shard);",
    ),
  ),

  // The end.

  mutant(
    "DISCONNECT with will drops the will",
    10,
    ["will lost", "stuck"],
    connection("this.#leave(reason !== Reason.NormalDisconnection, now);", "this.#leave(false, now);"),
  ),
  mutant(
    "DISCONNECT publishes the will",
    10,
    "will unwanted",
    connection("this.#leave(reason !== Reason.NormalDisconnection, now);", "this.#leave(true, now);"),
  ),
  mutant(
    "DISCONNECT cannot change how long the session outlives it",
    10,
    "session present",
    connection(
      "      this.#expirySeconds = Math.min(sessionExpirySeconds, this.limits.sessionExpirySecondsMax);\n",
      "",
    ),
  ),

  // What the client may.
  mutant(
    "a packet that waits for what its client may is lost",
    10,
    ["stuck", "lost", "order", "closed"],
    connection("      reader.unread();\n      return;", "      return;"),
  ),
  mutant(
    "a packet that has to be asked about is lost",
    30,
    ["stuck", "lost"],
    connection("    this.#reader.unread();\n    this.#rights.when", "    this.#rights.when"),
  ),
  mutant(
    "packets are taken while it is asked what their client may",
    10,
    "thrown",
    connection("    if (this.#rights.waits) return false;\n", ""),
  ),
  mutant(
    "frames that waited are taken in the wrong order",
    10,
    "order",
    standing("return this.#frames.shift();", "return this.#frames.pop();"),
  ),
  mutant(
    "frames that waited are taken, although their link is gone",
    10,
    ["packet id", "dup", "repeated"],
    standing("if (this.#frames.length > 0) this.#frames = ", "if (shard < 0) this.#frames = "),
  ),
  mutant(
    "frames wait for ever, if nobody says what their client may",
    10,
    ["order", "lost", "stuck"],
    rights("    this.#standing.lapse(now);\n    this.release(now);", "    this.#standing.lapse(now);"),
  ),
  mutant(
    "frames wait for ever, once it is said what their client may",
    10,
    ["stuck", "lost"],
    rights("    this.known(now);\n    this.release(now);", "    this.known(now);"),
  ),
  mutant(
    "a frame overtakes those that wait",
    10,
    ["order", "stuck", "lost"],
    rights("    if (this.#standing.isWaiting) return true;\n    if (!this", "    if (!this"),
    standing("return now >= this.#staleAt;", "return now >= this.#staleAt && this.#waitUntil === undefined;"),
  ),
];

export const CONNECTION_UNSEEN = [
  unseen(
    "a PUBREL that a broken link swallowed is not said again",
    RARE,
    shardLink("again.push({ order, what: () => records.writeRelease(to, packetId) });", "void packetId, order;"),
  ),
  unseen(
    "a message that its client will not have keeps its place in the window",
    RARE,
    shardLinks("if (link?.inflight.get(packetId)?.qos === 2) this.#done(link, packetId);", "void link;"),
  ),
  unseen(
    "a new link has its grants whatever other shards have",
    RARE,
    window(
      "share.granted = Math.max(0, Math.min(this.#evenShare - share.outstanding, this.#free));",
      "share.granted = Math.max(0, this.#evenShare - share.outstanding);",
    ),
  ),
  unseen(
    "a SUBSCRIBE that a broken link swallowed is not said again",
    RARE,
    shardLink(
      "for (const [request, { order, what }] of leaving ? [] : this.#requests)",
      "for (const [request, { order, what }] of leaving ? this.#requests : [])",
    ),
  ),
  unseen(
    "what waits behind a QoS 2 PUBLISH overtakes it",
    RARE,
    publishing(
      "if (this.#waiting.length === 0 && (packet.qos < 2 || !this.#waits))",
      "if (packet.qos < 2 || !this.#waits)",
    ),
  ),
  unseen(
    "what is published behind a QoS 2 PUBLISH that asks for its shard overtakes it",
    RARE,
    publishing("if (ahead || (packet.qos === 2 &&", "if ((packet.qos === 2 &&"),
  ),
  unseen(
    "ids that shards hold of a resumed session are forgotten",
    RARE,
    connection("        this.#publishing!.holds(link, record.received);\n", ""),
  ),
  unseen(
    "a PUBREL does not wait until the session is resumed",
    RARE,
    publishing(
      "if (this.#waits) this.#wait(0, (later) => this.#release(packetId, later));\n    else this.#release",
      "this.#release",
    ),
  ),
  unseen(
    "PUBREL goes to one of the shards that hold the id",
    "an id is at two shards only if a client has forgotten its session and uses it for another topic; none of the trial does",
    publishing(
      "for (const shard of shards) this.#host.link(shard, now).release(packetId);",
      "for (const shard of [...shards].slice(0, 1)) this.#host.link(shard, now).release(packetId);",
    ),
  ),
  unseen(
    "an id that was refused stays in use",
    "nothing is refused: the trial reaches no limit of a shard",
    publishing(
      "    this.#unanswered.delete(packetId);\n    if (reason",
      "    if (reason < 0x80) this.#unanswered.delete(packetId);\n    if (reason",
    ),
  ),
  unseen(
    "QoS 0 is not kept while its link is away",
    "whatever breaks a link may lose QoS 0",
    shardLink("    } else if (body.qos === 0) {", "    } else if (body.qos === 0 && body.retain) {"),
  ),
  unseen(
    "a retained message moves the cursor of the log",
    RARE,
    shardLink(
      "if (source === 0 && delivery.phase === Phase.Sent) this.passed(offset);",
      "if (delivery.phase === Phase.Sent) this.passed(offset);",
    ),
  ),
  unseen(
    "a PUBREC that a broken link swallowed is not said again",
    RARE,
    shardLink("    for (const packetId of this.#recording) records.writeReceived(to, packetId);\n", ""),
  ),
  unseen(
    "what was not answered goes again before what came before it",
    RARE,
    shardLink("again.toSorted((a, b) => a.order - b.order)", "again"),
  ),
  unseen(
    "a client that is gone publishes again what may have been taken",
    RARE,
    shardLink("if (leaving && (sent || hello.persistent)) continue;", "if (leaving && hello.persistent) continue;"),
  ),
  unseen(
    "a client that is gone publishes what waited, and again when it is back",
    RARE,
    shardLink("if (leaving && (sent || hello.persistent)) continue;", "if (leaving && sent) continue;"),
  ),
  unseen(
    "a connection takes its resumed subscriptions as its own without their places",
    RARE,
    shardLink(
      "if (place) this.#known({ ...subscription, start: place.start, scan: place.scan });",
      "if (place) this.#known({ ...subscription, start: cursor, scan: place.scan });",
    ),
  ),
  unseen(
    "a connection forgets that retained messages are still to come",
    RARE,
    shardLink("scan: scanning ? this.#newScan(subscription, previous, start) : undefined,", "scan: undefined,"),
  ),
  unseen(
    "a replaced subscription counts from when it was replaced, for its connection",
    RARE,
    shardLink("start: previous && previous.qos > 0 ? previous.start : start,", "start,"),
  ),
  unseen(
    "a change of subscriptions does not move the cursor",
    RARE,
    connection("        link.passed(record.cursor);\n", ""),
  ),
  unseen(
    "a shard that does not answer the hello is waited for for ever",
    RARE,
    linkLife(
      '      case "opening":\n      case "greeting":\n        return this.#giveUpSocket();',
      '      case "opening":\n        return this.#giveUpSocket();\n      case "greeting":\n        this.#until = undefined;\n        return false;',
    ),
  ),
  unseen(
    "a link that answers no ping stays",
    "it takes eight minutes of a dead link, and the trial mends it before",
    linkLife("if (this.#awaitingPong) return this.#giveUpSocket();\n", ""),
  ),
  unseen(
    "idle grants are not asked back",
    "a hungry shard goes on with its own share, only slower",
    window(
      "const recall = this.#hungry.length > 0 ? this.#recall() : undefined;",
      "const recall = undefined as WindowChange | undefined;",
    ),
  ),
  unseen(
    "grants are asked back once for each link that dies meanwhile",
    RARE,
    window("    share.granted = 0;\n    share.recalled = 0;", "    share.granted = 0;"),
  ),
  unseen(
    "a shard whose link is gone stays hungry",
    "what it is given dies with the hello of its next link, and that comes",
    window("    if (place >= 0) this.#hungry.splice(place, 1);\n", "    void place;\n"),
  ),
  unseen(
    "shards are told of a subscription before it is kept",
    RARE,
    sessionLink(
      "    this.#keeping.set(keeping.request, keeping);\n",
      "    this.#keeping.set(keeping.request, { ...keeping, goOn: () => {} });\n    if (put.length + remove.length > 0) goOn(now);\n    else this.#keeping.set(keeping.request, keeping);\n",
    ),
  ),
  unseen(
    "what is to be kept is not said again over a new link",
    RARE,
    sessionLink(
      "    if (this.#fence) for (const keeping of this.#keeping.values()) records.writeKeep(to, keeping);\n",
      "",
    ),
  ),
  unseen(
    "a resumed session goes on only where it subscribes",
    RARE,
    shardLinks("      this.to(shard, now).holds = true;\n      this.#awaited.add(shard);\n", ""),
  ),
  unseen(
    "a refused subscription is not undone where it was confirmed",
    RARE,
    subscribing(
      "for (const entry of pending.entries.toReversed()) if (entry.code >= 0x80) this.#undo(request, entry, now);\n",
      "",
    ),
  ),
  unseen(
    "a shard that did not confirm in time keeps what it was told",
    RARE,
    subscribing(
      "this.#restore(link, entry.filter, link.subscriptions.get(entry.filter));\n          }",
      "void link;\n          }",
    ),
  ),
  unseen(
    "the end of a connection does not wait for its shards",
    RARE,
    leaving("    if (!late && this.#shards && !this.#shards.settled) return;\n", ""),
  ),
  unseen(
    "shards hear no goodbye",
    "the lost link is waited for instead, which only costs rows",
    shardLinks(
      "for (const { life, batch } of this.#links.values()) if (life.usable) records.writeBye(batch.records);",
      "",
    ),
  ),
  unseen(
    "who takes a session over finds it as if its client had not said goodbye",
    "it is promised only to who waits for the end of its socket",
    connection("    this.#session.leave(this.#leaving!.end);\n", ""),
  ),
  unseen(
    "END that a broken link swallowed is not said again",
    RARE,
    sessionLink("    if (this.#end) records.writeEnd(to, this.#end);\n    else if", "    if"),
  ),
  unseen(
    "what a client had sent before it left is not done, if it had to wait",
    "QoS 0 may be lost with its connection, and the rest its client sends again",
    connection(
      'if (this.#phase === "open" && this.#rights.waits) this.#isGone = true;\n    else this.#leave(true, now);',
      "this.#leave(true, now);",
    ),
  ),
  unseen(
    "a retained message counts as sent to a client that is gone",
    RARE,
    shardLinks("if (!this.#leaving) link.scanned(", "link.scanned("),
  ),
  unseen(
    "of two things that have to be asked about one is forgotten",
    RARE,
    deciding("const next = this.#waiting[0]?.question;", "const next = undefined;"),
  ),
];
