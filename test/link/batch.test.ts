import { describe, expect, test } from "vitest";
import { Batch, BUSY_MS } from "../../src/link/batch.ts";

describe("Batch", () => {
  test("links: nothing outstanding, so what is written leaves at once", () => {
    const batch = new Batch();
    expect(batch.due(0)).toBeUndefined();
    batch.records.u8(1).u8(2);
    expect([...batch.due(0)!]).toEqual([1, 2]);
    expect(batch.due(0)).toBeUndefined();
    expect(batch.deadline).toBeUndefined();
  });

  test("links: a frame outstanding, so what is written is collected for as long as it takes", () => {
    const batch = new Batch();
    batch.records.u8(1);
    batch.due(0);
    for (let i = 2; i < 6; i++) {
      batch.records.u8(i);
      expect(batch.due(i * 1000)).toBeUndefined();
    }
    expect(batch.deadline).toBeUndefined();
  });

  test("links: on credit with something waiting, it is sent as one frame with all that has arrived by then", () => {
    const batch = new Batch();
    batch.records.u8(1);
    batch.due(0);
    batch.records.u8(2);
    batch.taken(10);
    expect(batch.due(10)).toBeUndefined();
    expect(batch.deadline).toBe(10);
    batch.records.u8(3);
    expect(batch.due(10)).toBeUndefined();
    batch.ripen();
    expect([...batch.due(10)!]).toEqual([2, 3]);
    expect(batch.deadline).toBeUndefined();
  });

  test("links: on credit with nothing waiting, what is written soon after is gathered, later not", () => {
    const batch = new Batch();
    batch.records.u8(1);
    batch.due(0);
    batch.taken(10);
    expect(batch.deadline).toBeUndefined();
    batch.records.u8(2);
    expect(batch.due(11)).toBeUndefined();
    batch.records.u8(3);
    batch.ripen();
    expect([...batch.due(11)!]).toEqual([2, 3]);
    batch.taken(12);
    batch.records.u8(4);
    expect([...batch.due(12 + BUSY_MS)!]).toEqual([4]);
  });

  test("links: a ripening with nothing to send lets nothing out early", () => {
    const batch = new Batch();
    batch.ripen();
    batch.records.u8(1);
    batch.due(0);
    batch.taken(1);
    batch.ripen();
    batch.records.u8(2);
    expect(batch.due(2)).toBeUndefined();
  });

  test("links: the backlog is what was written and not taken, sent or not", () => {
    const batch = new Batch();
    expect(batch.settled).toBe(true);
    batch.records.u32(1);
    expect([batch.backlogBytes, batch.settled]).toEqual([4, false]);
    batch.due(0);
    batch.records.u16(1);
    expect(batch.backlogBytes).toBe(6);
    batch.taken(0);
    expect(batch.backlogBytes).toBe(2);
    batch.due(BUSY_MS);
    batch.taken(BUSY_MS);
    expect([batch.backlogBytes, batch.settled]).toEqual([0, true]);
  });

  test("links: a broken link takes with it what was sent and what was collected", () => {
    const batch = new Batch();
    batch.records.u8(1);
    batch.due(0);
    batch.records.u8(2);
    batch.taken(0);
    batch.reset();
    expect([batch.backlogBytes, batch.deadline]).toEqual([0, undefined]);
    batch.records.u8(3);
    expect([...batch.due(0)!]).toEqual([3]);
  });
});
