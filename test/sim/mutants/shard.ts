/** Faults of topic shards (`src/core/shard`). */

import { mutant, of, RARE, unseen } from "./mutant.ts";

const shard = of("src/core/shard/shard.ts");
const log = of("src/core/shard/log.ts");
const queues = of("src/core/shard/queues.ts");
const place = of("src/core/shard/place.ts");
const roster = of("src/core/shard/roster.ts");
const attendance = of("src/core/shard/attendance.ts");
const received = of("src/core/shard/received.ts");
const retained = of("src/core/shard/retained.ts");
const pump = of("src/core/shard/pump.ts");
const dispatch = of("src/core/shard/dispatch.ts");
const fanout = of("src/core/shard/fanout.ts");
const delivery = of("src/core/shard/delivery.ts");
const grace = of("src/core/shard/grace.ts");
const outlet = of("src/core/shard/outlet.ts");
const pace = of("src/core/shard/pace.ts");
const store = of("src/core/shard/store.ts");
const topicAliases = of("src/core/shard/topic-aliases.ts");
const placement = of("src/core/shard/placement.ts");
const tree = of("src/core/shard/subscription-tree.ts");

export const SHARD = [
  // The log.
  mutant(
    "a message that comes alone is acknowledged and not stored",
    10,
    ["lost", "will lost", "stuck"],
    log(
      "    if (this.#pending.length === 0) return;",
      "    if (this.#pending.length < 2) {\n      this.#pending.length = 0;\n      return;\n    }",
    ),
  ),
  mutant(
    "the log is committed out of order",
    10,
    ["lost", "stuck"],
    log(
      "for (const entry of this.#pending) {\n      const { message }",
      "for (const entry of this.#pending.toReversed()) {\n      const { message }",
    ),
  ),
  mutant(
    "a turn's log is written with the next turn",
    10,
    ["closed", "lost", "stuck"],
    shard(
      "  #settle(now: number): readonly ShardEffect[] {\n    this.#commit(now);\n",
      "  #settle(now: number): readonly ShardEffect[] {\n",
    ),
    shard("    let published = false;\n    try {", "    let published = false;\n    this.#commit(now);\n    try {"),
  ),

  mutant(
    "the log is read from the place itself",
    10,
    "thrown",
    log("findIndex((entry) => entry.offset > offset)", "findIndex((entry) => entry.offset >= offset)"),
  ),
  mutant(
    "trimming takes the batch that is needed first",
    20,
    ["lost", "stuck"],
    log("findIndex((batch) => batch.last > offset)", "findIndex((batch) => batch.last > offset + 1)"),
  ),

  mutant(
    "the log knows of nothing that is not read yet",
    40,
    ["lost", "stuck"],
    log("    return last > offset;\n", "    return last > offset + 1;\n"),
  ),

  // What it is kept for.

  mutant(
    "nothing is kept for who is behind",
    10,
    ["lost", "stuck"],
    attendance("const needs = Math.min(oldest - 1, this.behind ?? Infinity);", "const needs = oldest - 1;"),
  ),

  mutant(
    "the survey moves a place past what it found",
    30,
    ["lost", "stuck"],
    queues("      reader.reach(entry.offset - 1);", "      reader.reach(entry.offset);"),
  ),
  mutant(
    "a session that is settled is settled for good",
    30,
    ["lost", "stuck"],
    roster("    this.#owing.add(attendance);\n    // Of one that is away", "    // Of one that is away"),
  ),

  // Places.
  mutant(
    "a stored place has no deliveries",
    10,
    "packet id",
    place("inflight: [...inflight.values()], scans }", "inflight: [], scans }"),
  ),
  mutant(
    "a stored place is one too far",
    10,
    ["lost", "stuck"],
    place(
      "const cursor = attendance.behind ?? this.#log.head;",
      "const cursor = (attendance.behind ?? this.#log.head) + 1;",
    ),
  ),
  mutant(
    "a stored place is one short",
    10,
    "repeated",
    place(
      "const cursor = attendance.behind ?? this.#log.head;",
      "const cursor = (attendance.behind ?? this.#log.head) - 1;",
    ),
  ),
  mutant(
    "a stored place is the head of the log",
    10,
    ["lost", "stuck"],
    place("const cursor = attendance.behind ?? this.#log.head;", "const cursor = this.#log.head;"),
  ),

  mutant(
    "a QoS 2 PUBLISH leaves before the place is stored",
    10,
    "dup",
    pump("    if (delivery.qos === 2) this.#places.exact(to);\n", ""),
  ),
  mutant(
    "that a client has received QoS 2 is not stored",
    10,
    "repeated",
    shard("    this.#places.exact(client);\n", ""),
  ),

  mutant(
    "a session whose place is stored is known without what it is behind with",
    10,
    ["lost", "stuck"],
    roster(
      "      if (log.holdsAfter(cursor)) {\n        attendance.behind = cursor;",
      "      if (log.holdsAfter(cursor)) {\n        attendance.behind = log.head;",
    ),
  ),

  // Comings and goings.

  mutant(
    "a hello that brings a cursor is taken for one at the head",
    10,
    ["lost", "stuck"],
    roster(
      "} else if (hello.cursor !== undefined && log.holdsAfter(hello.cursor)) attendance.behind = hello.cursor;",
      "}",
    ),
  ),
  mutant(
    "a resumed session is taken for one at the head",
    10,
    ["lost", "will lost", "stuck"],
    attendance("    this.behind = earlier.behind;\n", ""),
  ),

  // Waiting for who may come back.

  mutant(
    "a shard that restarts waits for nobody",
    30,
    "closed",
    grace(
      "if (alone && this.#presence === Presence.Attached) {",
      "if (alone && this.#presence === Presence.Attached && now < 0) {",
    ),
  ),
  mutant("it is not stored that somebody is there", 30, "closed", grace("    this.#store.putPresence(presence);", "")),

  mutant(
    "a shard that wakes goes on with what its links remembered before they changed",
    50,
    ["packet id", "repeated", "uninvited"],
    shard('    this.#effects.push({ type: "remember", link: attendance.outlet.link, hello: undefined });\n', ""),
  ),
  mutant(
    "notes of wills and wipes are never swept",
    10,
    "left behind",
    shard("      this.#store.sweepNotes(now - NOTES_KEPT_MS);\n", ""),
  ),

  // QoS 2 from clients.
  mutant(
    "the ids of QoS 2 are not in the transaction of their messages",
    20,
    ["closed", "stuck"],
    shard(
      "      this.#log.commit(now);\n      this.#received.save();\n    });\n  }",
      "      this.#log.commit(now);\n    });\n  }",
    ),
    shard(
      "    this.#retained.save();\n    for (const attendance of this.#dirty)",
      "    this.#retained.save();\n    this.#received.save();\n    for (const attendance of this.#dirty)",
    ),
  ),
  mutant(
    "an id that was released is held again after a restart",
    10,
    ["closed", "stuck"],
    received(
      "if (this.#get(session)?.ids.delete(packetId)) this.#unsaved.add(session);",
      "this.#get(session)?.ids.delete(packetId);",
    ),
  ),

  mutant(
    "a QoS 2 message is taken as often as it comes",
    50,
    "repeated",
    received("    if (ids.has(packetId)) return false;\n", ""),
  ),

  // Sending, and sending again.
  mutant(
    "what is sent again has new packet ids",
    10,
    ["repeated", "packet id"],
    pump(
      "        delivery.phase = Phase.Resent;\n        this.#send(to, packet.bytes, packet.topicBytes, delivery);",
      "        to.inflight.delete(delivery.packetId);\n        const again = { ...delivery, packetId: to.nextPacketId(), phase: Phase.Resent };\n        to.inflight.set(again.packetId, again);\n        this.#send(to, packet.bytes, packet.topicBytes, again);",
    ),
  ),
  mutant(
    "what is sent again is not marked",
    10,
    "dup",
    delivery(
      "return encode(arena, message, terms, version, retained, true,",
      "return encode(arena, message, terms, version, retained, false,",
    ),
  ),
  mutant(
    "what is sent again comes in the opposite order",
    20,
    "order",
    attendance(
      "if (delivery.phase === Phase.Unsent) this.resends.push(delivery);",
      "if (delivery.phase === Phase.Unsent) this.resends.unshift(delivery);",
    ),
  ),
  mutant(
    "what is sent again has not the QoS that it had",
    10,
    "repeated",
    pump(
      "const terms = { qos, retainAsPublished: retain, identifiers };",
      "const terms = { qos: 1 as const, retainAsPublished: retain, identifiers };",
    ),
  ),

  mutant(
    "what the client has received is sent again",
    10,
    "repeated",
    attendance("      if (phase === Phase.Received) this.#hold(delivery);\n      else if", "      if"),
  ),

  mutant(
    "packet ids leave the slice of their shard",
    10,
    ["repeated", "lost", "will lost"],
    attendance("      this.#packetId += shards;", "      this.#packetId += 1;"),
  ),
  mutant(
    "an id is given that is in flight",
    30,
    "packet id",
    attendance("      if (!this.inflight.has(this.#packetId)) return this.#packetId;", "      return this.#packetId;"),
  ),
  mutant(
    "grants that are given back are used all the same",
    30,
    "receive maximum",
    shard("    attendance.grants -= count;\n", ""),
  ),
  mutant("deliveries take no grant", 10, "receive maximum", pump("    to.grants -= 1;\n", "")),
  mutant(
    "a session that is hungry says so once",
    10,
    ["lost", "will lost", "stuck"],
    shard("        from.hungry = false;\n", ""),
  ),
  mutant(
    "a message finds its session behind by one too few",
    10,
    ["lost", "will lost", "stuck"],
    dispatch("      attendance.behind = offset - 1;", "      attendance.behind = offset;"),
  ),
  mutant(
    "a message finds its session behind by one too many",
    10,
    "repeated",
    dispatch("      attendance.behind = offset - 1;", "      attendance.behind = offset - 2;"),
  ),
  mutant(
    "a session that is behind gets what is new first",
    30,
    ["order", "repeated"],
    dispatch(
      "    if (attendance.behind === undefined) {\n",
      "    if (attendance.behind === undefined || this.#parts.pump.ready(attendance)) {\n",
    ),
  ),
  mutant(
    "a page of the log that ends where grants end is skipped",
    10,
    ["lost", "will lost", "stuck"],
    pump(
      "        if (!this.#sendLogged(to, entry, now)) return;\n        to.behind = entry.offset;",
      "        to.behind = entry.offset;\n        if (!this.#sendLogged(to, entry, now)) return;",
    ),
  ),
  mutant(
    "a connection is never asked whether its client reads",
    20,
    ["lost", "will lost", "stuck"],
    outlet(
      "const asking = outlet.sent(records.length + (end?.bytes ?? 0));",
      "const asking = outlet.sent(records.length + (end?.bytes ?? 0)) && end === undefined;",
    ),
  ),
  mutant(
    "a client that has read counts as one that has not",
    10,
    "thrown",
    outlet("    this.#unansweredBytes -= this.#askedBytes ?? 0;\n", ""),
  ),
  mutant(
    "links that get the same message get the packets of the first",
    20,
    ["uninvited", "terms", "repeated"],
    outlet("if (from.last?.packet === packet) {", "if (from.last && from.last.packet.length === packet.length) {"),
  ),

  // Subscriptions and terms.
  mutant(
    "a subscription counts from the message after the next one",
    10,
    ["lost", "stuck"],
    fanout("filter(({ start, noLocal }) => start < offset &&", "filter(({ start, noLocal }) => start + 1 < offset &&"),
  ),

  mutant(
    "No Local holds for what others publish",
    10,
    ["terms", "lost", "will lost"],
    dispatch(
      "const own = ownTerms !== everyones && attendance.session === message.publisher;",
      "const own = ownTerms !== everyones;",
    ),
  ),
  mutant(
    "No Local does not hold",
    10,
    "uninvited",
    dispatch(
      "const own = ownTerms !== everyones && attendance.session === message.publisher;",
      "const own = false as boolean;",
    ),
  ),

  mutant(
    "overlapping subscriptions give the lowest QoS",
    10,
    "terms",
    delivery("qos: Math.max(...subscriptions.map", "qos: Math.min(...subscriptions.map"),
  ),
  mutant(
    "overlapping subscriptions give the first identifier",
    30,
    "terms",
    delivery(
      ".filter((identifier) => identifier !== 0),",
      ".filter((identifier) => identifier !== 0)\n      .slice(0, 1),",
    ),
  ),

  mutant(
    "equal packets are those of equal QoS",
    10,
    "terms",
    fanout(
      "return `${version === 5 ? 5 : 4}:${terms.qos}:${terms.retainAsPublished}:${identifiers}`;",
      "return `${version === 5 ? 5 : 4}:${terms.qos}`;",
    ),
  ),
  mutant(
    "RETAIN is passed on",
    10,
    "terms",
    delivery("retain: retained || (terms.retainAsPublished && message.retain),", "retain: retained || message.retain,"),
  ),
  mutant(
    "QoS above the granted one",
    10,
    "terms",
    delivery(
      "return Math.min(message.qos, terms.qos) as 0 | 1 | 2;",
      "return message.qos > 0 && terms.qos > 0 ? message.qos : 0;",
    ),
  ),
  mutant(
    "who gets a topic is not worked out again after UNSUBSCRIBE",
    10,
    "uninvited",
    roster("    else tree.delete(filter, by);\n    fanout.changed();", "    else tree.delete(filter, by);"),
  ),

  mutant(
    "what `a/#` matches is not `a`",
    30,
    ["will lost", "stuck"],
    tree("      if (node.hash !== undefined) visitSubscribers(node.hash, visit);\n    }\n  }\n}", "    }\n  }\n}"),
  ),
  mutant(
    "a filter with a wildcard lives on one shard",
    25,
    ["lost", "stuck"],
    placement(
      "if (hasWildcardInLevels(filter, start, depth)) return Array.from({ length: shards }, (_, shard) => shard);",
      "if (hasWildcardInLevels(filter, start, depth - 1)) return Array.from({ length: shards }, (_, shard) => shard);",
    ),
  ),

  // Expiry.
  mutant(
    "an expired message is delivered",
    20,
    "expiry",
    delivery("  if (expirySeconds === 0) return undefined;\n", ""),
    pump("    if (remainingSeconds(message, now) === 0) return true;\n", ""),
  ),

  // Retained messages.

  mutant(
    "retained messages stop where grants end",
    10,
    "retained",
    pump(
      "      if (!this.ready(to)) return false;\n      this.deliver(to, packet, message.topicUtf8.length, offset, subscription.number);",
      "      if (!this.ready(to)) return true;\n      this.deliver(to, packet, message.topicUtf8.length, offset, subscription.number);",
    ),
  ),
  mutant("a scan does not move on", 30, "repeated", pump("      subscription.scan = { after: offset, upTo };\n", "")),
  mutant(
    "Retain Handling 1 sends retained messages again",
    20,
    "repeated",
    roster("(wanted.retainHandling === 1 && !previous)", "wanted.retainHandling === 1"),
  ),
  mutant(
    "Retain Handling 2 sends retained messages",
    10,
    ["uninvited", "repeated"],
    roster("(wanted.retainHandling === 0 || (wanted", "(wanted.retainHandling !== 1 || (wanted"),
  ),

  // Wills.
  mutant(
    "a will that was published is published again",
    20,
    "repeated",
    shard(
      "if (!this.#store.markWillDone(will.publisher, of, now)) return;",
      "this.#store.markWillDone(will.publisher, of, now);",
    ),
  ),

  // Topic aliases.
];

export const SHARD_UNSEEN = [
  unseen(
    "whoever comes back from storage is taken to need nothing",
    RARE,
    queues(
      "      if (!attendance.uncertain) certain = Math.min(certain, needs);",
      "      if (attendance.uncertain) needed = this.#log.head;",
    ),
  ),
  unseen(
    "a replaced link goes on",
    RARE,
    roster(
      "    if (refusal !== undefined) return refusal;\n    if (previous?.outlet) this.#close(previous.outlet.link);",
      "    if (refusal !== undefined) return refusal;",
    ),
    roster(
      "    if (attendance.subscriptions.size > 0) fanout.changed();\n    if (attendance.outlet) this.#links.delete(attendance.outlet.link);",
      "    if (attendance.subscriptions.size > 0) fanout.changed();",
    ),
  ),
  unseen(
    "a generation that was wiped comes back",
    RARE,
    roster("|| hello.generation <= store.endedGeneration(hello.session);", ";"),
  ),
  unseen(
    "a transient session ends with its link, but its subscriptions stay",
    RARE,
    roster("    for (const filter of attendance.subscriptions.keys()) tree.delete(filter, attendance);\n", ""),
  ),
  unseen(
    "a shard forgets the QoS 2 ids of a session that is away",
    RARE,
    shard(
      "this.#received.sweep((session) => this.#roster.get(session) !== undefined)",
      "this.#received.sweep((session) => this.#roster.get(session)?.outlet !== undefined)",
    ),
  ),
  unseen(
    "new messages come before what is sent again",
    RARE,
    dispatch(
      "if (attendance.resends.length === 0 && this.#parts.pump.ready(attendance)) return true;",
      "if (this.#parts.pump.ready(attendance)) return true;",
    ),
  ),
  unseen(
    "No Local does not hold for what waited",
    RARE,
    fanout(
      "start < offset && !(noLocal && publisher === attendance.session)",
      "start < offset && !(noLocal && publisher === '')",
    ),
  ),
  unseen(
    "a subscription that was at QoS 0 keeps its start",
    RARE,
    roster(
      "const start = previous && previous.qos > 0 ? previous.start : head;",
      "const start = previous ? previous.start : head;",
    ),
  ),
  unseen(
    "what is logged before a subscription is its own",
    RARE,
    fanout("filter(({ start, noLocal }) => start < offset && !(noLocal", "filter(({ noLocal }) => !(noLocal"),
  ),
  unseen(
    "offsets are given twice after a restart",
    RARE,
    log("    this.#head = this.#reserved;\n", "    this.#head = store.batches().at(-1)?.last ?? 0;\n"),
  ),
  unseen(
    "batches stay decoded that are dropped",
    "nobody reads what is before the oldest batch that is needed, decoded or not",
    log("this.#decoded = this.#decoded.filter((batch) => batch.last > last);", "void last;"),
  ),
  unseen(
    "what is in flight is not kept",
    RARE,
    attendance("if (source !== 0 || offset <= this.#released || phase === Phase.Received) continue;", "continue;"),
  ),
  unseen(
    "the log is kept from the message after the oldest in flight",
    RARE,
    attendance("if (!this.#disordered) return offset - 1;", "if (!this.#disordered) return offset;"),
  ),
  unseen(
    "a shard trims its log while it waits for sessions",
    RARE,
    queues("    if (recovering) return undefined;\n", ""),
  ),
  unseen(
    "the survey drops what is in flight",
    RARE,
    queues(
      "needed = this.#look(entry, now) || inflight.has(entry.offset) || needed;",
      "needed = this.#look(entry, now) || needed;",
    ),
  ),
  unseen(
    "the survey drops what only the first entry of a batch is needed for",
    RARE,
    queues(
      "needed = this.#look(entry, now) || inflight.has(entry.offset) || needed;",
      "needed = this.#look(entry, now) || inflight.has(entry.offset);",
    ),
  ),
  unseen(
    "a stored place has no scans",
    RARE,
    place("if (scan) scans.set(filter, scan);", "if (scan && filter === '') scans.set(filter, scan);"),
  ),
  unseen(
    "a place is not stored when its connection goes",
    RARE,
    place(
      "    if (this.#later.delete(attendance) && this.#matters(attendance)) this.#now.add(attendance);",
      "    this.#later.delete(attendance);",
    ),
  ),
  unseen(
    "a place does not matter that only has deliveries",
    RARE,
    place(
      "const open = stored.inflight + inflight.size > 0 || stored.scans > 0 || scanning !== undefined;",
      "const open = stored.scans > 0 || scanning !== undefined;",
    ),
  ),
  unseen(
    "scans of stored sessions are not read",
    RARE,
    roster("scan: scansOf.get(session)?.get(subscription.filter) });", "scan: scansOf.get(session)?.get('') });"),
  ),
  unseen(
    "a hello of an earlier connection is welcome",
    RARE,
    roster(
      "return compareFences({ ...hello, linkNumber: hello.link }, known) < 0;",
      "return hello.generation < 0 && known.generation < 0;",
    ),
  ),
  unseen(
    "a hello of an earlier connection is welcome after a restart",
    RARE,
    roster("if (earlier?.epoch !== attendance.epoch) places.exact(attendance);\n    else places", "places"),
  ),
  unseen(
    "the generation of a hello is ignored",
    RARE,
    roster(
      "previous?.persistent && previous.generation === hello.generation ? previous : undefined",
      "previous?.persistent ? previous : undefined",
    ),
  ),
  unseen(
    "a connection comes back whose will is published",
    RARE,
    roster("      hello.epoch <= store.willDoneEpoch(hello.session) || hello", "      hello"),
  ),
  unseen(
    "a will does not close the links of its connection",
    RARE,
    shard("    this.#roster.over(will.publisher, of);\n", ""),
  ),
  unseen(
    "the fence of received ids is ignored",
    RARE,
    roster("if (fenced || over || received.fences(hello)) return", "if (fenced || over) return"),
  ),
  unseen(
    "a lost link ends a session that would come back",
    RARE,
    roster(
      "    // For a while it counts as offline, and what it wants is logged.\n    if (!this.#keeps(attendance)) return;",
      "    if (!this.#keeps(attendance)) return;\n    if (attendance.subscriptions.size > 0) return this.#end(attendance);",
    ),
  ),
  unseen(
    "a session that was given up comes back as if nothing was",
    RARE,
    roster(
      "return missed && !previous && !grace.recovering(now) ?",
      "return missed && !previous && grace.awaits && now < 0 ?",
    ),
  ),
  unseen(
    "a session that lost its link is at the head of the log",
    RARE,
    roster("attendance.behind ??= this.#parts.log.head;", "attendance.behind = undefined;"),
  ),
  unseen(
    "what the first link of a connection lost counts as sent",
    RARE,
    attendance(
      "else if (lost && again) undone.push(delivery);",
      "else if (lost && again && source < 0) undone.push(delivery);",
    ),
  ),
  unseen(
    "what a share group handed to a link that was lost is taken for the session's own",
    RARE,
    attendance("if (lost && shared) continue;", "if (lost && shared) void 0;"),
  ),
  unseen(
    "a subscription that the hello does not name stays",
    RARE,
    roster(
      "        if (!subscriptions.has(filter)) store.deleteSubscription(session, filter);",
      "        if (!subscriptions.has(filter)) void store;",
    ),
  ),
  unseen(
    "a subscription that the hello brings is not stored",
    RARE,
    roster(
      "      if (!known || known.start !== subscription.start || differs(known, subscription)) {",
      "      if (known && (known.start !== subscription.start || differs(known, subscription))) {",
    ),
  ),
  unseen(
    "BYE does not end a session",
    RARE,
    roster(
      "    if (!attendance.persistent) {\n      this.#end(attendance);\n      return;\n    }\n    if (attendance.outlet)",
      "    if (attendance.outlet)",
    ),
  ),
  unseen(
    "a shard that waits logs only what is wanted",
    RARE,
    dispatch("(grace.recovering(now) || plan.keeps)", "plan.keeps"),
  ),
  unseen(
    "it is not stored how long a shard waits",
    RARE,
    grace("      this.#store.putGraceUntil(this.#storedUntil);", ""),
  ),
  unseen(
    "a link that closed while its shard slept is not waited for",
    RARE,
    shard(
      "    if (link === undefined) this.#grace.begin(now);\n    else this.#roster",
      "    if (link !== undefined) this.#roster",
    ),
  ),
  unseen(
    "a link that is told to come back is not waited for",
    RARE,
    shard("    if (forgotten) this.#grace.begin(now);", ""),
  ),
  unseen("a shard never ends who does not come back", RARE, shard("    this.#roster.endOffline(now);\n", "")),
  unseen(
    "no alarm is set for who does not come back",
    RARE,
    shard(
      "const times = [this.#sweepNotesAt, this.#roster.nextEnd, this.#queues.nextExpiry];",
      "const times = [this.#sweepNotesAt, this.#queues.nextExpiry];",
    ),
    shard("    if (!this.#log.empty || this.#received.any || this.#grace.awaits) times.push(this.#grace.until);\n", ""),
  ),
  unseen(
    "a shard that only has QoS 2 ids of a session does not know it after a restart",
    RARE,
    shard("    if (from.persistent) this.#places.keep(from);\n    else", "    if (!from.persistent)"),
  ),
  unseen(
    "received ids outlast their session",
    RARE,
    roster("    this.#parts.received.forget(attendance.session);", ""),
    roster("    this.#parts.received.wipe(session, generation);", ""),
  ),
  unseen(
    "received ids of an earlier generation are those of the next one",
    RARE,
    received("if (known && known.generation < generation) this.forget(session);", "void known;"),
  ),
  unseen(
    "a shard does not say which ids it holds",
    RARE,
    roster("received: resumed ? this.#parts.received.ids(session) : [],", "received: [],"),
  ),
  unseen(
    "what is sent again is not said to be retained",
    RARE,
    pump(
      "const bytes = encodeAgain(this.#outbox.arena, message, terms, to.mqttVersion, retained, now);",
      "const bytes = encodeAgain(this.#outbox.arena, message, { ...terms, retainAsPublished: false }, to.mqttVersion, false, now);",
    ),
  ),
  unseen("an acknowledgement is forgotten", RARE, shard("        from.inflight.delete(record.packetId);\n", "")),
  unseen(
    "a publisher that was held back is not told to go on",
    RARE,
    pace("    for (const attendance of this.#held) this.#tell(attendance);\n", ""),
  ),
  unseen(
    "QoS 0 is not sent to who has nothing else under way",
    RARE,
    dispatch(
      "    if (outlet.backlogBytes < this.#backlogBytesMax) return true;",
      "    if (outlet.backlogBytes > 0) return true;",
    ),
  ),
  unseen(
    "QoS 0 comes before what waits at QoS 1",
    RARE,
    dispatch("    if (!outlet) return false;", "    if (!outlet || outlet.touched) return false;"),
  ),
  unseen(
    "a replaced subscription counts from when it was replaced",
    RARE,
    roster("const start = previous && previous.qos > 0 ? previous.start : head;", "const start = head;"),
  ),
  unseen(
    "No Local does not hold for retained messages",
    RARE,
    pump("    if (subscription.noLocal && message.publisher === to.session) return true;\n", ""),
  ),
  unseen(
    "overlapping subscriptions keep RETAIN if all of them do",
    RARE,
    delivery("retainAsPublished: subscriptions.some(", "retainAsPublished: subscriptions.every("),
  ),
  unseen(
    "a stored subscription stays that was given up",
    RARE,
    roster("    if (by.persistent) store.deleteSubscription(by.session, filter);\n", ""),
  ),
  unseen(
    "a subscription of a session that goes on is not stored",
    RARE,
    roster("      this.#parts.store.putSubscription(by.session, subscription);\n", ""),
  ),
  unseen(
    "a change of terms does not wait for what was queued under the terms before",
    RARE,
    attendance(
      "    if (this.behind === undefined || change.kind !== Kind.Subscribe) return false;",
      "    if (change.kind !== Kind.Unsubscribe || change.filters.length > 0) return false;",
    ),
  ),
  unseen(
    "changes of subscriptions that wait overtake each other",
    RARE,
    attendance("    if (this.held.length > 0) return true;\n", ""),
  ),
  unseen(
    "the Message Expiry Interval does not run",
    RARE,
    delivery(
      "  const expirySeconds = remainingSeconds(message, now);\n",
      "  const { expirySeconds } = remainingSeconds(message, now) === 0 ? { expirySeconds: 0 } : message;\n",
    ),
  ),
  unseen(
    "a will's Message Expiry Interval runs from its CONNECT",
    RARE,
    shard("this.#dispatch.publish({ ...will, at: now }, now);", "this.#dispatch.publish(will, now);"),
  ),
  unseen(
    "an empty payload does not clear a retained message",
    RARE,
    retained("message.payload.length === 0 ? undefined :", "message.payload.length < 0 ? undefined :"),
  ),
  unseen("a retained message of QoS 0 is never stored", RARE, retained("      this.#unsaved.set(topic, value);\n", "")),
  unseen(
    "a retained message of QoS 0 is stored after a later one",
    RARE,
    retained("      this.#unsaved.delete(topic);\n", ""),
  ),
  unseen(
    "the scan of a filter without wildcards begins behind its message",
    RARE,
    retained(
      "const wanted = offset !== undefined && offset > after && offset <= upTo;",
      "const wanted = offset !== undefined && offset > after + 1 && offset < upTo;",
    ),
  ),
  unseen(
    "a scan brings what was published since as well",
    RARE,
    roster("const scan = asks ? { after: 0, upTo: head }", "const scan = asks ? { after: 0, upTo: head + 1_000 }"),
  ),
  unseen(
    "a subscription that does not ask ends the scan of the one before",
    RARE,
    roster(
      "const scan = asks ? { after: 0, upTo: head } : previous?.scan;",
      "const scan = asks ? { after: 0, upTo: head } : undefined;",
    ),
  ),
  unseen(
    "that a scan began is not stored",
    RARE,
    roster(
      "if (asks || (previous && differs(previous, wanted))) this.#parts.places.exact(by);",
      "if (previous && differs(previous, wanted)) this.#parts.places.exact(by);",
    ),
  ),
  unseen(
    "a scan that was undone goes on where it was",
    RARE,
    roster(
      "subscription.scan = { after: Math.min(after, offset - 1), upTo: Math.max(upTo, offset) };",
      "subscription.scan = { after, upTo };",
    ),
  ),
  unseen(
    "a will is noted by its epoch alone",
    RARE,
    store('return connection === "" || !notes.some((note) => note["connection"] === connection);', "return true;"),
  ),
  unseen(
    "two shards give a client the same topic alias",
    RARE,
    topicAliases("  return slot.index * shards + shard + 1;", "  return slot.index + shards - shards + 1;"),
  ),
  unseen(
    "a topic alias that a topic had is another one's",
    RARE,
    dispatch(
      "return aliases[slot.index] === slot.serial ? Form.Known : Form.Introducing;",
      "return aliases[slot.index] !== undefined ? Form.Known : Form.Introducing;",
    ),
  ),
  unseen(
    "topic aliases go beyond the client's maximum",
    RARE,
    dispatch(
      "if (!slot || slot.index >= aliasSlots) return Form.Plain;",
      "if (!slot || aliasSlots === 0) return Form.Plain;",
    ),
  ),
];
