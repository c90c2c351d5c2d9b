/** Measurements by name, each to be repeated. */
export type Measurements<Rounds> = { readonly [Name in keyof Rounds]: () => Promise<Rounds[Name]> };
/** What the rounds of each measurement found, in their order. */
export type Found<Rounds> = { readonly [Name in keyof Rounds]: readonly Rounds[Name][] };

/**
 * Measures in turns (a, b, c, a, b, c, …), so that a machine which is slow for a while is so for all of them.
 *
 * @param tell is told before each round
 */
export async function measureInTurns<Rounds extends object>(
  measurements: Measurements<Rounds>,
  rounds: number,
  tell: (text: string) => void,
): Promise<Found<Rounds>> {
  const all = Object.entries<() => Promise<unknown>>(measurements).map(([name, measure]) => {
    return { name, measure, found: [] as unknown[] };
  });
  for (let round = 1; round <= rounds; round += 1) {
    for (const { name, measure, found } of all) {
      tell(`round ${round} of ${rounds}: ${name}`);
      found.push(await measure());
    }
  }
  return Object.fromEntries(all.map(({ name, found }) => [name, found])) as unknown as Found<Rounds>;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const [low = Number.NaN, high = low] = sorted.slice((sorted.length - 1) >> 1, (sorted.length >> 1) + 1);
  return (low + high) / 2;
}

/**
 * The median of the ratios of each turn: both sides of one were measured while the machine was in the same mood.
 *
 * @param values and `bases` have one value for each turn
 */
export function medianRatio(values: readonly number[], bases: readonly number[]): number {
  return median(values.map((value, turn) => value / (bases[turn] ?? Number.NaN)));
}

/** The value that a share of all values does not exceed. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(Math.ceil(share * sorted.length) - 1, 0)] ?? Number.NaN;
}
