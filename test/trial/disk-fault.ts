/**
 * How an object's disk fails (`worker/disk.ts`).
 *
 * - `refuse`: writes throw, as they do when a disk is full.
 * - `crash-before`, `crash-after`: the object is gone just before, or just after, its next write.
 * - `forget`: writes seem to succeed and are not made. A broker cannot stand that; it shows that the checker sees it.
 */
export type DiskFault = "refuse" | "crash-before" | "crash-after" | "forget";
