import { type Bench, type SectionResult, withService } from "../bench.ts";
import type { LoadResult } from "../jobs/load.ts";
import type { PacedResult } from "../jobs/paced.ts";
import type { TokenLoopResult } from "../jobs/token_loop.ts";
import { finding, rounded } from "../measure/finding.ts";
import { fullLoad, HASH, pacedLoad } from "../measure/loads.ts";
import { measureInTurns, median, medianRatio } from "../measure/rounds.ts";
import type { Rate } from "../measure/rows.ts";
import { tokenLoop } from "../measure/token_loops.ts";

/** How long a signature takes when the machine has half of what it can do. */

const ALGORITHM = "RSA-2048";
const TIMES_SIGN = 4;

interface Rounds {
  readonly full: LoadResult & Rate;
  readonly half: PacedResult;
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
        half: () => pacedLoad(bench, service, (full?.perSecond ?? 0) / 2),
        token: () => tokenLoop(bench, ALGORITHM, service.certificatePem),
      },
      bench.options.rounds,
      (text) => bench.tell(`latency, ${text}`),
    );
  });
  const sign = found.token.map(({ signMs }) => signMs);
  const p99 = found.half.map(({ p99Ms }) => p99Ms);
  const middle = (of: (round: PacedResult) => number): number => rounded(median(found.half.map(of)));
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
          `what comes at once: the generator was up to ${middle(({ lagP99Ms }) => lagP99Ms)} ms late (p99) and then sends ` +
          `all that is due; the service's busiest main thread had no core in ` +
          `${Math.round(median(found.half.map(({ usage }) => usage.threadWaited)) * 100)} % of the time`,
      }),
    ],
  };
}
