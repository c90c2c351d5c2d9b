import type { KeyAlgorithmName } from "../../lib/algorithms.ts";
import { type Bench, type SectionResult, withService } from "../bench.ts";
import { withGuide } from "../guide.ts";
import type { LoadResult } from "../jobs/load.ts";
import type { RawLoopResult } from "../jobs/raw_loop.ts";
import type { RequestKind } from "../jobs/requests.ts";
import type { TokenLoopResult } from "../jobs/token_loop.ts";
import { boundOf, type Finding, finding, rounded } from "../measure/finding.ts";
import { fullLoad, HASH } from "../measure/loads.ts";
import { type Found, measureInTurns, median, medianRatio } from "../measure/rounds.ts";
import { perSecond, type Rate, rowsOf } from "../measure/rows.ts";
import { rawLoop, tokenLoop } from "../measure/token_loops.ts";
import { counted } from "../service/token_share.ts";

/** Signatures per second on SoftHSM2, and what each costs beside the token's own work. */

/** What each algorithm has to reach. */
interface Goal {
  readonly ofRaw: number;
  readonly ofGuide: number;
  /** CPU outside the token for one signature, in microseconds. */
  readonly cpuMicros: number;
}

const GOALS: Readonly<Record<"RSA-2048" | "P-256", Goal>> = {
  "RSA-2048": { ofRaw: 0.8, ofGuide: 5, cpuMicros: 150 },
  "P-256": { ofRaw: 0.5, ofGuide: 15, cpuMicros: 200 },
};
const DOCUMENT_BYTES = 20_000;
const JSON_DOCUMENT: RequestKind = { form: "json", documentBytes: DOCUMENT_BYTES };
const RAW_DOCUMENT: RequestKind = { form: "raw", documentBytes: DOCUMENT_BYTES };

type Load = LoadResult & Rate;

interface Rounds {
  readonly raw: RawLoopResult;
  readonly token: TokenLoopResult;
  readonly guide: Rate;
  readonly hash: Load;
  readonly json: Load;
  readonly body: Load;
}

export async function throughput(bench: Bench): Promise<SectionResult> {
  return withGuide(bench, async (guide) => {
    const findings: Finding[] = [];
    const tables: Record<string, ReturnType<typeof rowsOf>> = {};
    for (const [name, goal] of Object.entries(GOALS)) {
      const algorithm = name as keyof typeof GOALS;
      const found = await measure(bench, algorithm, guide);
      findings.push(...findingsOf(algorithm, goal, found));
      tables[algorithm] = rowsOf({
        "raw loop of C_SignInit and C_Sign": found.raw,
        "the same on one thread, synchronous": found.token,
        "the guide's way, RSA-2048": found.guide,
        "service, { hash }": found.hash,
        "service, 20 kB as { encodedContents }": found.json,
        "service, 20 kB as raw body": found.body,
      });
    }
    return { findings, tables };
  });
}

function measure(
  bench: Bench,
  algorithm: KeyAlgorithmName,
  guide: { round(): Promise<Rate> },
): Promise<Found<Rounds>> {
  const token = counted(bench.token, bench.directory);
  return withService(bench, { algorithm, token }, (service) =>
    measureInTurns<Rounds>(
      {
        raw: () => rawLoop(bench, algorithm, service.certificatePem),
        token: () => tokenLoop(bench, algorithm, service.certificatePem),
        guide: () => guide.round(),
        hash: () => fullLoad(bench, service, HASH, { tokenSums: token.sums }),
        json: () => fullLoad(bench, service, JSON_DOCUMENT),
        body: () => fullLoad(bench, service, RAW_DOCUMENT),
      },
      bench.options.rounds,
      (text) => bench.tell(`throughput, ${algorithm}, ${text}`),
    ),
  );
}

function findingsOf(algorithm: string, goal: Goal, found: Found<Rounds>): readonly Finding[] {
  const [raw, guide, hash] = [found.raw, found.guide, found.hash].map(perSecond) as [
    number[],
    number[],
    number[],
  ];
  const token = median(found.hash.map(({ tokenMicros }) => tokenMicros ?? Number.NaN));
  const all = median(found.hash.map(({ cpuMicros }) => cpuMicros));
  const outside = median(
    found.hash.map(({ cpuMicros, tokenMicros = Number.NaN }) => cpuMicros - tokenMicros),
  );
  const bound = boundOf(found.hash);
  const against = (what: string, rates: readonly number[]): string =>
    `{ hash } ${rounded(median(hash))}/s, ${what} ${rounded(median(rates))}/s, in turns`;
  return [
    finding({
      figure: `${algorithm}, SoftHSM2: of the raw C_Sign loop`,
      value: medianRatio(hash, raw),
      unit: "×",
      target: { atLeast: goal.ofRaw },
      how: against("raw loop", raw),
      bound,
    }),
    finding({
      figure: `${algorithm}, SoftHSM2: of the guide's way with RSA-2048`,
      value: medianRatio(hash, guide),
      unit: "×",
      target: { atLeast: goal.ofGuide },
      how: against("the guide's way", guide),
      bound,
    }),
    finding({
      figure: `${algorithm}: CPU outside the token, per signature`,
      value: outside,
      unit: "µs",
      target: { atMost: goal.cpuMicros },
      how: `${rounded(all)} µs of the service under full load, less ${rounded(token)} µs inside C_SignInit and C_Sign`,
      bound,
    }),
  ];
}
