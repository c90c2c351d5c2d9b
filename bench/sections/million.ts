import { type Bench, type SectionResult, withService } from "../bench.ts";
import type { LoadResult } from "../jobs/load.ts";
import { boundOf, finding, rounded } from "../measure/finding.ts";
import { fullLoad, HASH } from "../measure/loads.ts";
import { memoryDuring } from "../measure/memory.ts";
import { median } from "../measure/rounds.ts";

/** Very many signatures, in tenths: none may be wrong, and memory may not grow. */

const ALGORITHM = "P-256";
const TENTHS = 10;
const MIB = 1_048_576;
/** One in so many is verified by the generator; the service verifies them all. */
const VERIFY_EVERY = 50;
const SAMPLE_EVERY = 9_973;
const LOOK_EVERY_MS = 250;
const WITHIN = 0.05;

interface Tenth {
  readonly load: LoadResult;
  /** Median of the resident memory of all processes, in MiB. */
  readonly memory: number;
}

export async function million(bench: Bench): Promise<SectionResult> {
  const requests = Math.ceil(bench.options.signatures / TENTHS);
  const { tenths, wrongOfToken } = await withService(bench, { algorithm: ALGORITHM }, async (service) => {
    const tenths: Tenth[] = [];
    for (let index = 1; index <= TENTHS; index += 1) {
      bench.tell(`million, tenth ${index}: ${requests} signatures`);
      const special = {
        warmUpMs: 0,
        measure: { requests },
        verify: { algorithm: ALGORITHM, every: VERIFY_EVERY },
        sampleEvery: Math.min(SAMPLE_EVERY, requests),
      } as const;
      const { result, bytes } = await memoryDuring(service.group, LOOK_EVERY_MS, () =>
        fullLoad(bench, service, HASH, special),
      );
      tenths.push({ load: result, memory: median(bytes) / MIB });
    }
    const wrongOfToken = service.troubles().filter((line) => line.includes("token.wrong_signature")).length;
    return { tenths, wrongOfToken };
  });
  return { findings: [rightness(tenths, wrongOfToken), steadiness(tenths)] };
}

function rightness(tenths: readonly Tenth[], wrongOfToken: number): ReturnType<typeof finding> {
  const sum = (of: (load: LoadResult) => number): number =>
    tenths.reduce((total, { load }) => total + of(load), 0);
  const [answers, verified] = [sum((load) => load.answers), sum((load) => load.verified)];
  const samples = sum((load) => load.samples.length);
  return finding({
    figure: `${answers.toLocaleString("en")} signatures, ${ALGORITHM}: wrong ones`,
    value: sum((load) => load.wrong),
    unit: "",
    target: { atMost: 0 },
    how:
      `${verified.toLocaleString("en")} verified by the generator with node:crypto, ${samples} by OpenSSL, all of them ` +
      `by the service before they left (the token gave ${wrongOfToken} wrong ones); every answer was 200`,
  });
}

function steadiness(tenths: readonly Tenth[]): ReturnType<typeof finding> {
  const memory = tenths.map((tenth) => tenth.memory);
  const [second = Number.NaN, last = Number.NaN] = [memory[1], memory.at(-1)];
  return finding({
    figure: "The same: resident memory of the last tenth, off that of the second",
    value: Math.abs(last / second - 1),
    unit: "×",
    target: { atMost: WITHIN },
    how: `medians of the tenths in MiB: ${memory.map(rounded).join(", ")}; all processes together`,
    bound: boundOf(tenths.map(({ load }) => load)),
  });
}
