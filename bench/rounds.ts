/** One figure's measurement, to be repeated. */
export interface Measurement {
  readonly name: string;
  round(): Promise<Round>;
}

/** What one round of a measurement found. */
export interface Round {
  readonly perSecond: number;
  /** CPU time of the process that is measured, for one signature, in microseconds. */
  readonly cpuMicros: number | undefined;
  /** CPU time of the load generator for one request, in microseconds. */
  readonly generatorMicros?: number;
  /** Answers that OpenSSL has verified. */
  readonly verified?: number;
}

/** What the rounds of one measurement come to: medians, and the extremes of the rate. */
export interface Figure {
  readonly name: string;
  readonly perSecond: number;
  readonly slowest: number;
  readonly fastest: number;
  /** To the first measurement: the median of the ratios within each turn. */
  readonly ratio: number;
  readonly cpuMicros?: number;
  readonly generatorMicros?: number;
  readonly verified?: number;
}

/**
 * Measures in turns (a, b, c, a, b, c, …), so that a machine which is slow for a while is so for all of them.
 *
 * @param measurements the first is what the others are compared with
 */
export async function measureInTurns(
  measurements: readonly Measurement[],
  rounds: number,
): Promise<readonly Figure[]> {
  const found = measurements.map(({ name }) => ({ name, rounds: [] as Round[] }));
  for (let round = 0; round < rounds; round += 1) {
    for (const [index, measurement] of measurements.entries()) {
      found[index]?.rounds.push(await measurement.round());
    }
  }
  const base = found[0]?.rounds ?? [];
  return found.map(({ name, rounds }) => summarize(name, rounds, base));
}

function summarize(name: string, rounds: readonly Round[], base: readonly Round[]): Figure {
  const rates = rounds.map(({ perSecond }) => perSecond);
  // Within a turn, so that both sides of a ratio were measured while the machine was in the same mood.
  const ratios = rates.map((rate, turn) => rate / (base[turn]?.perSecond ?? Number.NaN));
  const cpu = rounds.flatMap(({ cpuMicros }) => cpuMicros ?? []);
  const generator = rounds.flatMap(({ generatorMicros }) => generatorMicros ?? []);
  const verified = rounds.reduce((sum, round) => sum + (round.verified ?? 0), 0);
  return {
    name,
    perSecond: Math.round(median(rates)),
    slowest: Math.round(Math.min(...rates)),
    fastest: Math.round(Math.max(...rates)),
    ratio: Number(median(ratios).toFixed(3)),
    ...(cpu.length > 0 ? { cpuMicros: Math.round(median(cpu)) } : {}),
    ...(generator.length > 0 ? { generatorMicros: Math.round(median(generator)) } : {}),
    ...(verified > 0 ? { verified } : {}),
  };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const [low = Number.NaN, high = low] = sorted.slice((sorted.length - 1) >> 1, (sorted.length >> 1) + 1);
  return (low + high) / 2;
}
