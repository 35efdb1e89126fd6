/**
 * A shard with very many links: what does it cost to wake with them, to serve them all, and to lose all of them at once
 * and have them come back?
 */

import { Disk, rowsChanged } from "./disk.ts";
import { heldBytes } from "./heap.ts";
import { FENCE, sessionNamed } from "./population.ts";
import { message, ShardSubject, type SleepingLink, subscription } from "./shard-subject.ts";
import { milliseconds } from "./stopwatch.ts";

export interface LinksOrder {
  readonly kind: "links";
  readonly links: number;
  /** Whether their sessions outlive their connections. */
  readonly persistent: boolean;
}

export interface LinksPoint {
  readonly links: number;
  /** Of one link, and how many have none and so say hello again. */
  readonly attachmentBytes: number;
  readonly forgotten: number;
  readonly wakeMs: number;
  /** With the attachments, which the platform holds besides. */
  readonly heapBytes: number;
  readonly wakeRows: number;
  /** One message to all of them: the turn that sends it, and the frames with which they acknowledge it. */
  readonly fanoutQos0Ms: number;
  readonly fanoutQos1Ms: number;
  readonly acknowledgingMs: number;
  readonly fanoutHeapBytes: number;
  /** All of them close without a word, and come back with a hello each. */
  readonly losingMs: number;
  readonly returningMs: number;
  readonly rowsOfLoss: number;
}

const START = 1_700_000_000_000;
const FILTER = "all/news";
/** At the default limit there would be no link left for who publishes to all of them. */
const LIMITS = { shardLinksMax: 32_000 };

export function measureLinks({ links, persistent }: LinksOrder): LinksPoint {
  const disk = new Disk();
  try {
    const before = fill(disk, links, persistent);
    const sleeping = [...before.attachments].map(([link, hello]) => ({ link, hello }));
    const sizes = sleeping.map(({ hello }) => hello?.length ?? 0);
    const forgotten = sleeping.filter(({ hello }) => hello === undefined).length;
    const { subject, ...woken } = wake(disk, sleeping, before.now + 60_000);
    const work = { ...fanningOut(subject, links), ...losing(subject, links, persistent) };
    return { links, attachmentBytes: Math.max(...sizes), forgotten, ...woken, ...work };
  } finally {
    disk.remove();
  }
}

/** Greets them all and lets them be remembered. */
function fill(
  disk: Disk,
  links: number,
  persistent: boolean,
): { attachments: ShardSubject["attachments"]; now: number } {
  const subject = new ShardSubject(disk.open("shard"), START, { limits: LIMITS });
  for (let link = 1; link <= links; link++) {
    subject.hello(link, sessionNamed(link), { ...FENCE, persistent, grants: 32 });
    subject.subscribe(link, FILTER);
  }
  subject.advance(60_000);
  return subject;
}

function wake(
  disk: Disk,
  links: readonly SleepingLink[],
  now: number,
): { subject: ShardSubject; wakeMs: number; heapBytes: number; wakeRows: number } {
  const sql = disk.open("shard");
  const before = heldBytes();
  const rows = rowsChanged(sql);
  let subject: ShardSubject | undefined;
  const wakeMs = milliseconds(() => (subject = new ShardSubject(sql, now, { links, limits: LIMITS })));
  const heapBytes = heldBytes() - before;
  subject!.advance(10_000);
  return { subject: subject!, wakeMs, heapBytes, wakeRows: rowsChanged(sql) - rows };
}

function fanningOut(
  subject: ShardSubject,
  links: number,
): { fanoutQos0Ms: number; fanoutQos1Ms: number; acknowledgingMs: number; fanoutHeapBytes: number } {
  const publisher = links + 1;
  subject.reads = true;
  subject.hello(publisher, "publisher");
  const echo = (): void => {
    for (const link of subject.served) if (link !== publisher) subject.echo(link);
  };
  const fanoutQos0Ms = milliseconds(() => subject.publish(publisher, message(FILTER, 0)));
  echo();
  const before = heldBytes();
  const fanoutQos1Ms = milliseconds(() => subject.publish(publisher, message(FILTER, 1)));
  if (subject.deliveries.length !== links) throw new Error(`${subject.deliveries.length} deliveries`);
  const served = subject.deliveries;
  const fanoutHeapBytes = heldBytes() - before;
  const acknowledgingMs = milliseconds(() => {
    for (const delivery of served) subject.acknowledge([delivery]);
  });
  subject.advance(120_000);
  return { fanoutQos0Ms, fanoutQos1Ms, acknowledgingMs, fanoutHeapBytes };
}

function losing(
  subject: ShardSubject,
  links: number,
  persistent: boolean,
): { losingMs: number; returningMs: number; rowsOfLoss: number } {
  subject.hello(0, "passer-by");
  subject.bye(0);
  const rows = rowsChanged(subject.sql);
  const losingMs = milliseconds(() => {
    for (let link = 1; link <= links; link++) subject.lose(link);
  });
  subject.now += 5_000;
  const cursor = persistent ? undefined : subject.head;
  const returningMs = milliseconds(() => {
    for (let link = 1; link <= links; link++) {
      subject.hello(link + links + 1, sessionNamed(link), {
        ...FENCE,
        persistent,
        link: 2,
        cursor,
        grants: 32,
        subscriptions: [{ ...subscription(FILTER), start: persistent ? undefined : cursor!, scan: undefined }],
      });
    }
  });
  subject.advance(120_000);
  return { losingMs, returningMs, rowsOfLoss: rowsChanged(subject.sql) - rows };
}
