import { type Bench, type SectionResult, withService } from "../bench.ts";
import type { LoadResult } from "../jobs/load.ts";
import type { PacedResult } from "../jobs/paced.ts";
import type { TokenLoopResult } from "../jobs/token_loop.ts";
import { finding, rounded } from "../measure/finding.ts";
import { fullLoad, HASH, pacedLoad } from "../measure/loads.ts";
import { measureInTurns, median, medianRatio, quantile } from "../measure/rounds.ts";
import type { Rate } from "../measure/rows.ts";
import { tokenLoop } from "../measure/token_loops.ts";
import type { Service } from "../service/service.ts";

/** How long a signature takes when the machine has half of what it can do. */

const ALGORITHM = "RSA-2048";
const TIMES_SIGN = 4;

interface Rounds {
  readonly full: LoadResult & Rate;
  /** With the times that C_SignInit and C_Sign took in the service meanwhile. */
  readonly half: PacedResult & { readonly tokenMs: number; readonly tokenP99Ms: number };
  readonly token: TokenLoopResult;
}

export async function latency(bench: Bench): Promise<SectionResult> {
  const found = await withService(bench, { algorithm: ALGORITHM }, (service) => {
    let full: Rounds["full"] | undefined;
    return measureInTurns<Rounds>(
      {
        full: async () => {
          full = await fullLoad(bench, service, HASH);
          return full;
        },
        half: () => halfLoad(bench, service, (full?.perSecond ?? 0) / 2),
        token: () => tokenLoop(bench, ALGORITHM, service.certificatePem),
      },
      bench.options.rounds,
      (text) => bench.tell(`latency, ${text}`),
    );
  });
  const sign = found.token.map(({ signMs }) => signMs);
  const p99 = found.half.map(({ p99Ms }) => p99Ms);
  const middle = (of: (round: Rounds["half"]) => number): number => rounded(median(found.half.map(of)));
  return {
    findings: [
      finding({
        figure: `${ALGORITHM} at half of full load: p99, of the median C_Sign`,
        value: medianRatio(p99, sign),
        unit: "×",
        target: { atMost: TIMES_SIGN },
        how:
          `${rounded(median(found.full.map(({ perSecond }) => perSecond / 2)))}/s, whether answered or not: median ` +
          `${middle(({ medianMs }) => medianMs)} ms, p99 ${rounded(median(p99))} ms; C_Sign alone ${rounded(median(sign))} ms, ` +
          `p99 ${rounded(median(found.token.map(({ signP99Ms }) => signP99Ms)))} ms`,
        bound:
          `the machine: C_SignInit and C_Sign alone took ${middle(({ tokenMs }) => tokenMs)} ms in the service meanwhile, p99 ` +
          `${middle(({ tokenP99Ms }) => tokenP99Ms)} ms; the generator, which goes before everything else, was up to ` +
          `${middle(({ lagP99Ms }) => lagP99Ms)} ms late (p99), and the machine idle in ` +
          `${Math.round(median(found.half.map(({ usage }) => usage.idle)) * 100)} % of the time`,
      }),
    ],
  };
}

async function halfLoad(bench: Bench, service: Service, perSecond: number): Promise<Rounds["half"]> {
  const from = service.logLength();
  const result = await pacedLoad(bench, service, perSecond);
  const times = service.tokenTimes(from);
  return { ...result, tokenMs: median(times), tokenP99Ms: quantile(times, 0.99) };
}
