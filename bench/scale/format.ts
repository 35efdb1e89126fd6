/** How figures are written in tables and at axes. */

/** 12,345; below a hundred with two digits that count. */
export function count(value: number): string {
  if (value === 0) return "0";
  if (Math.abs(value) >= 99.5) return Math.round(value).toLocaleString("en-US");
  return Number(value.toPrecision(2)).toString();
}

/** 10k, 1M. */
export function short(value: number): string {
  for (const [unit, size] of [
    ["M", 1e6],
    ["k", 1e3],
  ] as const) {
    if (value >= size) return `${Number((value / size).toPrecision(3))}${unit}`;
  }
  return String(Number(value.toPrecision(3)));
}

/** Binary units, as the platform's limits are: 128 MiB. */
export function bytes(value: number): string {
  for (const [unit, size] of [
    ["GiB", 2 ** 30],
    ["MiB", 2 ** 20],
    ["KiB", 2 ** 10],
  ] as const) {
    if (value >= size) return `${Number((value / size).toPrecision(3))} ${unit}`;
  }
  return `${count(value)} B`;
}

/** Decimal units, where an axis is marked at decades: 100 MB. */
export function decimalBytes(value: number): string {
  for (const [unit, size] of [
    ["GB", 1e9],
    ["MB", 1e6],
    ["kB", 1e3],
  ] as const) {
    if (value >= size) return `${Number((value / size).toPrecision(3))} ${unit}`;
  }
  return `${value} B`;
}

/** From microseconds to seconds. */
export function duration(milliseconds: number): string {
  if (milliseconds >= 999.5) return `${Number((milliseconds / 1000).toPrecision(3))} s`;
  if (milliseconds >= 0.9995) return `${Number(milliseconds.toPrecision(3))} ms`;
  return `${Number((milliseconds * 1000).toPrecision(3))} µs`;
}
