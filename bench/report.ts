/** Turns measurements into what is printed and saved. The same Markdown for both. */

import type { Measurement } from "./measurement.ts";
import type { Pace, Scenario } from "./scenarios.ts";
import type { Span } from "./span.ts";

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
  const figures = FIGURES[scenario.pace.kind];
  const [subject, ...peers] = series;
  const compared = subject && peers.length > 0 ? figures.filter((figure) => figure.comparedAs !== undefined) : [];
  const header = [
    "target",
    ...figures.map(({ title, comparedAs }) => (comparedAs === undefined ? title : `${title} (min–max)`)),
    ...compared.map(({ comparedAs }) => `${comparedAs}${subject!.target} ÷ this (min–max)`),
    "notes",
  ];
  const rows = series.map((one) => [
    one.target,
    ...figures.map((figure) => figureCell(figure, one)),
    ...compared.map((figure) => (one === subject ? "" : ratioCell(figure, subject!, one))),
    notes(one),
  ]);
  return [`## ${scenario.name}`, "", `${scenario.description}.`, "", ...table(header, rows), ""];
}

/** A column of a scenario's table. */
interface Figure {
  title: string;
  of: (one: Measurement) => number;
  format: (value: number) => string;
  /** What stands before the name of the column that compares the subject with the others in it; unset: none does. */
  comparedAs?: string;
}

const toHundredths = (value: number): string => value.toFixed(2);

const FIGURES: Record<Pace["kind"], readonly Figure[]> = {
  flood: [
    { title: "deliveries/s", of: (one) => rate(one.delivering), format: count, comparedAs: "" },
    { title: "broker CPU µs/delivery", of: (one) => cpuPerMessage(one.delivering), format: toHundredths },
    { title: "broker cores", of: brokerCores, format: toHundredths },
    { title: "generator cores", of: generatorCores, format: toHundredths },
  ],
  paced: [
    { title: "p50 ms", of: (one) => one.latencyMs?.p50 ?? NaN, format: toHundredths, comparedAs: "p50 of " },
    { title: "p95 ms", of: (one) => one.latencyMs?.p95 ?? NaN, format: toHundredths },
    { title: "p99 ms", of: (one) => one.latencyMs?.p99 ?? NaN, format: toHundredths },
    { title: "max ms", of: (one) => one.latencyMs?.max ?? NaN, format: toHundredths },
    {
      title: "broker CPU µs/delivery",
      of: (one) => cpuPerMessage(one.delivering),
      format: (value) => value.toFixed(0),
    },
  ],
  queue: [
    { title: "queued/s", of: (one) => rate(one.queueing), format: count, comparedAs: "queued: " },
    { title: "drained/s", of: (one) => rate(one.delivering), format: count, comparedAs: "drained: " },
    { title: "broker CPU µs/queued", of: (one) => cpuPerMessage(one.queueing), format: toHundredths },
    { title: "broker CPU µs/drained", of: (one) => cpuPerMessage(one.delivering), format: toHundredths },
    { title: "broker cores", of: brokerCores, format: toHundredths },
    { title: "generator cores", of: generatorCores, format: toHundredths },
  ],
};

function figureCell({ of, format, comparedAs }: Figure, series: Series): string {
  const values = measurements(series).map(of);
  return comparedAs === undefined ? spreadMedian(values, format) : spread(values, format);
}

/** The median of the rounds' own ratios: both sides of each were measured within seconds of each other. */
function ratioCell({ of }: Figure, subject: Series, peer: Series): string {
  const ratios: number[] = [];
  for (const [round, theirs] of peer.rounds.entries()) {
    const ours = subject.rounds[round];
    if (ours === undefined || typeof ours === "string" || typeof theirs === "string") continue;
    ratios.push(of(ours) / of(theirs));
  }
  return spread(ratios, toHundredths);
}

/** What a measurement says in a line of progress. */
export function inBrief({ delivering, queueing, latencyMs, lost, misordered }: Measurement): string {
  const wrong = lost !== 0 || misordered !== 0 ? `, lost ${lost}, out of sequence ${misordered}` : "";
  if (latencyMs) return `p50 ${toHundredths(latencyMs.p50)} ms${wrong}`;
  if (queueing) return `queued ${count(rate(queueing))}/s, drained ${count(rate(delivering))}/s${wrong}`;
  return `${count(rate(delivering))}/s${wrong}`;
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

function rate(span: Span | null): number {
  return span === null ? NaN : span.count / span.seconds;
}

function cpuPerMessage(span: Span | null): number {
  return span === null ? NaN : (span.brokerCpuMicroseconds ?? NaN) / span.count;
}

function brokerCores(one: Measurement): number {
  return cores(one, (span) => span.brokerCpuMicroseconds ?? NaN);
}

function generatorCores(one: Measurement): number {
  return cores(one, (span) => span.generatorCpuMicroseconds);
}

function cores({ queueing, delivering }: Measurement, cpuMicroseconds: (span: Span) => number): number {
  const spans = queueing === null ? [delivering] : [queueing, delivering];
  const total = (of: (span: Span) => number): number => spans.reduce((sum, span) => sum + of(span), 0);
  return total(cpuMicroseconds) / 1e6 / total((span) => span.seconds);
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
export function table(header: readonly string[], rows: readonly string[][]): string[] {
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]!.length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column]!)).join(" | ")} |`;
  return [line(header), `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`, ...rows.map(line)];
}
