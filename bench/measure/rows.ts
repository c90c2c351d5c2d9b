import { median, medianRatio } from "./rounds.ts";

/** What one round of a rate found. */
export interface Rate {
  readonly perSecond: number;
  /** CPU time of the process that is measured, for one signature, in microseconds. */
  readonly cpuMicros: number;
  /** CPU time of the load generator for one request, in microseconds. */
  readonly generatorMicros?: number;
  /** Answers that OpenSSL has verified. */
  readonly samples?: readonly unknown[];
}

/** What the rounds of one rate come to: medians, and the extremes of the rate. */
export interface Row {
  readonly name: string;
  readonly perSecond: number;
  readonly slowest: number;
  readonly fastest: number;
  /** To the first row: the median of the ratios within each turn. */
  readonly ratio: number;
  readonly cpuMicros: number;
  readonly generatorMicros?: number;
  /** Answers that OpenSSL has verified. */
  readonly verified?: number;
}

/** @param rates by the names of the rows; the first is what the others are compared with */
export function rowsOf(rates: Readonly<Record<string, readonly Rate[]>>): readonly Row[] {
  const [base = []] = Object.values(rates);
  return Object.entries(rates).map(([name, rounds]) => rowOf(name, rounds, base));
}

export function perSecond(rounds: readonly Rate[]): readonly number[] {
  return rounds.map((round) => round.perSecond);
}

function rowOf(name: string, rounds: readonly Rate[], base: readonly Rate[]): Row {
  const rates = perSecond(rounds);
  const generator = rounds.flatMap(({ generatorMicros }) => generatorMicros ?? []);
  const verified = rounds.reduce((sum, { samples = [] }) => sum + samples.length, 0);
  return {
    name,
    perSecond: Math.round(median(rates)),
    slowest: Math.round(Math.min(...rates)),
    fastest: Math.round(Math.max(...rates)),
    ratio: Number(medianRatio(rates, perSecond(base)).toFixed(3)),
    cpuMicros: Math.round(median(rounds.map(({ cpuMicros }) => cpuMicros))),
    ...(generator.length > 0 ? { generatorMicros: Math.round(median(generator)) } : {}),
    ...(verified > 0 ? { verified } : {}),
  };
}
