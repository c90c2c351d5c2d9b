import type { Sample } from "./family.ts";

/** In seconds: from a signature in software to the deadline of one on an HSM. */
const BOUNDS: readonly number[] = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

/** How many durations were how long: plain numbers, since each request adds to several. */
export class Histogram {
  /** One more than there are bounds: what is above the last. */
  readonly #counts: number[] = Array.from({ length: BOUNDS.length + 1 }, () => 0);
  #sum = 0;

  observe(seconds: number): void {
    let bucket = 0;
    while (bucket < BOUNDS.length && seconds > (BOUNDS[bucket] ?? 0)) bucket += 1;
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#sum += seconds;
  }

  /** As OpenMetrics has them: each bucket holds those below it too. */
  samples(labels: Readonly<Record<string, string>>): readonly Sample[] {
    let count = 0;
    const buckets = this.#counts.map((own, index) => {
      count += own;
      return { suffix: "_bucket", labels: { ...labels, le: boundText(BOUNDS[index]) }, value: count };
    });
    return [
      ...buckets,
      { suffix: "_sum", labels, value: this.#sum },
      { suffix: "_count", labels, value: count },
    ];
  }
}

/** Numbers in labels have a point (OpenMetrics 1.0, "Considerations: Canonical Numbers"). */
function boundText(bound: number | undefined): string {
  if (bound === undefined) return "+Inf";
  return Number.isInteger(bound) ? bound.toFixed(1) : String(bound);
}
