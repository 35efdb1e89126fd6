/** Turns measurements into what is printed and saved. The same Markdown for both. */

import type { Measurement } from "./measurement.ts";
import type { Scenario } from "./scenarios.ts";

/** One scenario on one target: an entry per round, in order; a string says why there is no measurement. */
interface Series {
  target: string;
  rounds: (Measurement | string)[];
}

export interface ScenarioResult {
  scenario: Scenario;
  /** The first is the subject, the others are its peers. */
  series: Series[];
}

/** Facts of the run, one line each. */
export type RunFacts = readonly (readonly [name: string, value: string])[];

export function report(facts: RunFacts, results: readonly ScenarioResult[]): string {
  const lines = ["# Bench results", "", ...facts.map(([name, value]) => `- ${name}: ${value}`), ""];
  for (const result of results) lines.push(...scenarioSection(result));
  return lines.join("\n");
}

export function scenarioSection({ scenario, series }: ScenarioResult): string[] {
  const paced = scenario.pace.kind === "paced";
  const columns = paced
    ? ["target", "p50 ms (min–max)", "p95 ms", "p99 ms", "max ms", "broker CPU µs/delivery"]
    : ["target", "deliveries/s (min–max)", "broker CPU µs/delivery", "broker cores", "generator cores"];
  const subject = series[0];
  const peers = series.slice(1);
  const ratioTitle = subject && peers.length > 0 ? [`${paced ? "p50 of " : ""}${subject.target} ÷ this (min–max)`] : [];
  const header = [...columns, ...ratioTitle, "notes"];
  const rows = series.map((one) => [
    one.target,
    ...(paced ? latencyCells(one) : rateCells(one)),
    ...(ratioTitle.length > 0 ? [one === subject ? "" : ratioCell(subject!, one, paced)] : []),
    notes(one),
  ]);
  return [`## ${scenario.name}`, "", `${scenario.description}.`, "", ...table(header, rows), ""];
}

function rateCells(series: Series): string[] {
  const measured = measurements(series);
  return [
    spread(measured.map(rate), count),
    spreadMedian(measured.map(cpuPerDelivery), (value) => value.toFixed(2)),
    spreadMedian(measured.map(brokerCores), (value) => value.toFixed(2)),
    spreadMedian(
      measured.map((one) => one.generatorCpuMicroseconds / 1e6 / one.seconds),
      (value) => value.toFixed(2),
    ),
  ];
}

function latencyCells(series: Series): string[] {
  const measured = measurements(series);
  const milliseconds = (value: number): string => value.toFixed(2);
  const percentile = (key: "p50" | "p95" | "p99" | "max"): number[] =>
    measured.map((one) => one.latencyMs?.[key] ?? NaN);
  return [
    spread(percentile("p50"), milliseconds),
    spreadMedian(percentile("p95"), milliseconds),
    spreadMedian(percentile("p99"), milliseconds),
    spreadMedian(percentile("max"), milliseconds),
    spreadMedian(measured.map(cpuPerDelivery), (value) => value.toFixed(0)),
  ];
}

/** The median of the rounds' own ratios: both sides of each were measured within seconds of each other. */
function ratioCell(subject: Series, peer: Series, paced: boolean): string {
  const value = (one: Measurement): number => (paced ? (one.latencyMs?.p50 ?? NaN) : rate(one));
  const ratios: number[] = [];
  for (const [round, theirs] of peer.rounds.entries()) {
    const ours = subject.rounds[round];
    if (ours === undefined || typeof ours === "string" || typeof theirs === "string") continue;
    ratios.push(value(ours) / value(theirs));
  }
  return spread(ratios, (ratio) => ratio.toFixed(2));
}

function notes(series: Series): string {
  const measured = measurements(series);
  const lost = measured.reduce((sum, one) => sum + one.lost, 0);
  const misordered = measured.reduce((sum, one) => sum + one.misordered, 0);
  const failures = new Set(series.rounds.filter((one) => typeof one === "string"));
  return [
    ...(lost > 0 ? [`**lost ${count(lost)}**`] : []),
    ...(lost < 0 ? [`**${count(-lost)} too many**`] : []),
    ...(misordered > 0 ? [`**${count(misordered)} out of sequence**`] : []),
    ...failures,
  ].join("; ");
}

function measurements(series: Series): Measurement[] {
  return series.rounds.filter((one) => typeof one !== "string");
}

export function rate(one: Measurement): number {
  return one.deliveries / one.seconds;
}

function cpuPerDelivery(one: Measurement): number {
  return (one.brokerCpuMicroseconds ?? NaN) / one.deliveries;
}

function brokerCores(one: Measurement): number {
  return (one.brokerCpuMicroseconds ?? NaN) / 1e6 / one.seconds;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return sorted.length % 2 === 1 ? sorted[Math.floor(middle)]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function spreadMedian(values: readonly number[], format: (value: number) => string): string {
  const known = values.filter((value) => Number.isFinite(value));
  return known.length === 0 ? "–" : format(median(known));
}

function spread(values: readonly number[], format: (value: number) => string): string {
  const known = values.filter((value) => Number.isFinite(value));
  if (known.length === 0) return "–";
  if (known.length === 1) return format(known[0]!);
  return `${format(median(known))} (${format(Math.min(...known))}–${format(Math.max(...known))})`;
}

function count(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

/** A Markdown table whose columns also line up as plain text. */
function table(header: readonly string[], rows: readonly string[][]): string[] {
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]!.length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column]!)).join(" | ")} |`;
  return [line(header), `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`, ...rows.map(line)];
}
