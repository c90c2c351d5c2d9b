import type { Finding } from "./finding.ts";
import type { Report } from "./report.ts";
import { targetText } from "./table.ts";

/**
 * The figures as a picture: one bar for each, as long as the figure is good. All targets are at the same place,
 * whatever their units; of what has to be small the inverse is drawn. It has both a light and a dark dress.
 */

const WIDTH = 960;
const BARS = { left: 16, width: 928 };
/** Bars end at so many times the target. */
const MOST_TIMES = 2;
const TARGET_X = BARS.left + BARS.width / MOST_TIMES;
const TOP = 74;
const ROW = 44;
const BAR = { top: 18, height: 12 };

const STYLE = `
  text { font: 13px system-ui, sans-serif; fill: #1f2328; }
  .title { font-size: 17px; font-weight: 600; }
  .faint { fill: #59636e; }
  .value { text-anchor: end; }
  .room { fill: #eaeef2; }
  .met { fill: #1a7f37; }
  .missed { fill: #bc4c00; }
  .target { stroke: #1f2328; stroke-width: 2; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .faint { fill: #9198a1; }
    .room { fill: #262c36; }
    .met { fill: #3fb950; }
    .missed { fill: #f0883e; }
    .target { stroke: #e6edf3; }
  }`;

/** An SVG document. It has no background of its own, and no font but the system's. */
export function chart({ findings, machine, date }: Report): string {
  const height = TOP + findings.length * ROW + 12;
  const met = findings.filter(({ isMet }) => isMet).length;
  const title = `hsm-signer: ${met} of ${findings.length} targets met`;
  const where = `${date.slice(0, 10)}, ${machine.cores} cores (${machine.cpu}), Node ${machine.node}; the load runs on the same cores`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escaped(title)}">
<style>${STYLE}
</style>
<text class="title" x="${BARS.left}" y="26">${escaped(title)}</text>
<text class="faint" x="${BARS.left}" y="46">${escaped(where)}</text>
<text class="faint" x="${TARGET_X}" y="${TOP - 6}" text-anchor="middle">target</text>
<text class="faint value" x="${BARS.left + BARS.width}" y="${TOP - 6}">twice as good, or more</text>
${findings.map(bar).join("\n")}
</svg>
`;
}

function bar(finding: Finding, index: number): string {
  const { figure, value, unit, target, isMet } = finding;
  const [y, kind] = [TOP + index * ROW, isMet ? "met" : "missed"];
  const length = Math.min(timesTarget(finding), MOST_TIMES) * (TARGET_X - BARS.left);
  const text = `${value} ${unit}  (target ${targetText(target)})  ${isMet ? "✓" : "✗"}`;
  const at = `y="${y + BAR.top}" height="${BAR.height}" rx="2"`;
  return `<g>
  <text x="${BARS.left}" y="${y + 12}">${escaped(figure)}</text>
  <text class="value" x="${BARS.left + BARS.width}" y="${y + 12}">${escaped(text)}</text>
  <rect class="room" x="${BARS.left}" ${at} width="${BARS.width}"/>
  <rect class="${kind}" x="${BARS.left}" ${at} width="${length.toFixed(1)}"/>
  <line class="target" x1="${TARGET_X}" x2="${TARGET_X}" y1="${y + BAR.top - 3}" y2="${y + BAR.top + BAR.height + 3}"/>
</g>`;
}

/** How good a figure is: 1 on the target, more where it is better. */
function timesTarget({ value, target }: Finding): number {
  if ("atLeast" in target) return value / target.atLeast;
  return value <= 0 ? MOST_TIMES : target.atMost / value;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
