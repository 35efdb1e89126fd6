/**
 * Line charts as SVG, for documents: logarithmic axes with units, a legend, and colours that are readable on white and on
 * black. No text of a chart may need escaping but `&`, `<` and `>`.
 */

export interface Axis {
  readonly label: string;
  /** How a value is written at the axis. */
  readonly format: (value: number) => string;
}

export interface Line {
  readonly name: string;
  /** Positive, as the axes are logarithmic, and in the order of x. */
  readonly points: readonly (readonly [x: number, y: number])[];
}

/** A horizontal line that something meets. */
export interface Bound {
  readonly name: string;
  readonly y: number;
}

export interface Chart {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly lines: readonly Line[];
  readonly bounds?: readonly Bound[];
}

/** The part of an axis that is shown, and where it is marked. */
export interface Scale {
  readonly from: number;
  readonly to: number;
  readonly marks: readonly number[];
}

const WIDTH = 900;
const HEIGHT = 420;
const PLOT = { left: 84, right: 600, top: 52, bottom: 360 } as const;
/** Between black and white: contrast above 4 with both. */
const INK = "#7d8590";
const COLOURS = ["#2f81f7", "#d9730d", "#2da44e", "#bf4fc0", "#c9a000", "#e5534b", "#0c9d9d"];
const BOUND = "#e5534b";
const LEGEND_LINE = 22;

/** Whole decades around the values, marked at each; where there are but two, between them too. */
export function scaleOf(values: readonly number[]): Scale {
  const low = Math.floor(Math.log10(Math.min(...values)) + 1e-9);
  const high = Math.max(Math.ceil(Math.log10(Math.max(...values)) - 1e-9), low + 1);
  const steps = high - low <= 2 ? [1, 2, 5] : [1];
  const marks: number[] = [];
  for (let decade = low; decade <= high; decade++) {
    for (const step of steps) if (decade < high || step === 1) marks.push(step * 10 ** decade);
  }
  return { from: 10 ** low, to: 10 ** high, marks };
}

/** Where a value is between the two ends of an axis, on a logarithmic scale. */
export function placeOf(value: number, { from, to }: Scale, start: number, end: number): number {
  return start + (Math.log(value / from) / Math.log(to / from)) * (end - start);
}

export function drawChart({ title, x, y, lines, bounds = [] }: Chart): string {
  const points = lines.flatMap((line) => line.points);
  const xScale = scaleOf(points.map(([value]) => value));
  const yScale = scaleOf([...points.map(([, value]) => value), ...bounds.map((bound) => bound.y)]);
  const atX = (value: number): string => placeOf(value, xScale, PLOT.left, PLOT.right).toFixed(1);
  const atY = (value: number): string => placeOf(value, yScale, PLOT.bottom, PLOT.top).toFixed(1);
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}"`,
    ` font-family="system-ui, sans-serif" font-size="13" fill="${INK}" role="img">`,
    `<title>${text(title)}</title>`,
    `<text x="${PLOT.left}" y="28" font-size="16" font-weight="600">${text(title)}</text>`,
  ];
  for (const mark of xScale.marks) {
    parts.push(grid(atX(mark), PLOT.top, atX(mark), PLOT.bottom));
    parts.push(`<text x="${atX(mark)}" y="${PLOT.bottom + 20}" text-anchor="middle">${text(x.format(mark))}</text>`);
  }
  for (const mark of yScale.marks) {
    parts.push(grid(PLOT.left, atY(mark), PLOT.right, atY(mark)));
    const baseline = Number(atY(mark)) + 4.5;
    parts.push(`<text x="${PLOT.left - 8}" y="${baseline}" text-anchor="end">${text(y.format(mark))}</text>`);
  }
  const [middleX, middleY] = [(PLOT.left + PLOT.right) / 2, (PLOT.top + PLOT.bottom) / 2];
  parts.push(`<text x="${middleX}" y="${PLOT.bottom + 44}" text-anchor="middle">${text(x.label)}</text>`);
  parts.push(`<text transform="translate(18 ${middleY}) rotate(-90)" text-anchor="middle">${text(y.label)}</text>`);
  for (const bound of bounds) {
    parts.push(
      `<line x1="${PLOT.left}" y1="${atY(bound.y)}" x2="${PLOT.right}" y2="${atY(bound.y)}" stroke="${BOUND}" stroke-width="1.5" stroke-dasharray="6 4"/>`,
      `<text x="${PLOT.left + 6}" y="${Number(atY(bound.y)) - 6}" fill="${BOUND}">${text(bound.name)}</text>`,
    );
  }
  lines.forEach((line, index) => parts.push(...drawLine(line, index, atX, atY)));
  return [...parts, "</svg>", ""].join("\n");
}

function drawLine(line: Line, index: number, atX: (value: number) => string, atY: (value: number) => string): string[] {
  const colour = COLOURS[index % COLOURS.length]!;
  const path = line.points.map(([px, py]) => `${atX(px)},${atY(py)}`).join(" ");
  const legendY = PLOT.top + 8 + index * LEGEND_LINE;
  return [
    `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2.25"/>`,
    ...line.points.map(([px, py]) => `<circle cx="${atX(px)}" cy="${atY(py)}" r="3.5" fill="${colour}"/>`),
    `<line x1="${PLOT.right + 18}" y1="${legendY}" x2="${PLOT.right + 42}" y2="${legendY}" stroke="${colour}" stroke-width="2.25"/>`,
    `<circle cx="${PLOT.right + 30}" cy="${legendY}" r="3.5" fill="${colour}"/>`,
    `<text x="${PLOT.right + 50}" y="${legendY + 4.5}">${text(line.name)}</text>`,
  ];
}

function grid(x1: number | string, y1: number | string, x2: number | string, y2: number | string): string {
  return `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" stroke="${INK}" stroke-opacity="0.3"/>`;
}

function text(value: string): string {
  return value.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
