import { cloudHsmSimulator, type Simulator } from "../../test/cloudhsm/simulator.ts";
import type { BareServerJob } from "../bare_server.ts";
import { type Bench, type BenchToken, SESSIONS, type SectionResult, withService } from "../bench.ts";
import { withForkedServer } from "../forked_server.ts";
import type { LoadResult } from "../jobs/load.ts";
import type { RawLoopResult } from "../jobs/raw_loop.ts";
import type { RequestKind } from "../jobs/requests.ts";
import { boundOf, type Finding, finding, rounded } from "../measure/finding.ts";
import { bareLoad, fullLoad, HASH } from "../measure/loads.ts";
import { type Found, measureInTurns, median, medianRatio } from "../measure/rounds.ts";
import { perSecond, type Rate, rowsOf } from "../measure/rows.ts";
import { rawLoop } from "../measure/token_loops.ts";
import { LoopDelay } from "../service/inside.ts";
import type { Service } from "../service/service.ts";

/**
 * A token that takes time and no CPU: the simulator waits, and answers what it was asked before from memory. Each
 * connection asks for one document again and again; what is signed changes with the second, so SoftHSM2 signs as
 * many times a second, in each process, as there are connections: with P-256 less than a hundredth of a core.
 */

const ALGORITHM = "P-256";
const SIGN_US = 5_000;
const INIT_US = 1_000;
const MANY_SESSIONS = 64;
const REPEATED: RequestKind = { ...HASH, documents: 1 };

const OF_IDEAL = 0.95;
const ENOUGH_PER_SECOND = 7_000;
const OF_BARE = 0.9;
const OF_WITHOUT_INIT = 0.9;
const LOOP_DELAY_MS = 5;

type Load = LoadResult & Rate;

interface Rounds {
  /** What the sessions of `few` do with nothing before them. */
  readonly raw: RawLoopResult;
  readonly few: Load;
  readonly many: Load;
  readonly init: Load & { readonly loopDelayMs: number };
  readonly bare: Load;
}

interface Services {
  readonly few: Service;
  readonly many: Service;
  readonly inside: LoopDelay;
}

export async function simulator(bench: Bench): Promise<SectionResult> {
  const cloudHsm = cloudHsmSimulator({ answersFromMemory: true });
  const token: BenchToken = cloudHsm;
  const inside = new LoopDelay(bench.directory);
  const few = { algorithm: ALGORITHM, token } as const;
  const found = await withService(bench, few, (fewService) =>
    withService(bench, { ...few, sessions: MANY_SESSIONS, ...inside.wanted }, (manyService) =>
      measure(bench, cloudHsm, { few: fewService, many: manyService, inside }),
    ),
  );
  return {
    findings: findingsOf(found),
    tables: {
      "Simulator, P-256": rowsOf({
        "bare node:http server": found.bare,
        "raw loop of C_SignInit and C_Sign, 5 ms, 16 sessions": found.raw,
        "service, 5 ms, 16 sessions": found.few,
        "service, 5 ms, 64 sessions": found.many,
        "service, 1 ms and 5 ms, 64 sessions": found.init,
      }),
    },
  };
}

async function measure(bench: Bench, cloudHsm: Simulator, services: Services): Promise<Found<Rounds>> {
  const load = (service: Service, initUs = 0): Promise<Load> => {
    cloudHsm.order({
      calls: [latency("C_Sign", SIGN_US), ...(initUs > 0 ? [latency("C_SignInit", initUs)] : [])],
    });
    return fullLoad(bench, service, REPEATED);
  };
  // How many processes serve, and how large an answer is, is found out by a look at the service.
  const { usage, samples } = await load(services.many);
  const job: BareServerJob = { processes: usage.busyProcesses, body: samples[0]?.answer ?? "" };
  const script = new URL("../bare_server.ts", import.meta.url);
  return withForkedServer(script, {}, job, (bare) =>
    measureInTurns<Rounds>(
      {
        raw: () => {
          cloudHsm.order({ calls: [latency("C_Sign", SIGN_US)] });
          return rawLoop({ ...bench, token: cloudHsm }, ALGORITHM, services.few.certificatePem);
        },
        few: () => load(services.few),
        many: () => load(services.many),
        init: async () => {
          await services.inside.p99Ms();
          const result = await load(services.many, INIT_US);
          return { ...result, loopDelayMs: await services.inside.p99Ms() };
        },
        bare: () => bareLoad(bench, bare, REPEATED),
      },
      bench.options.rounds,
      (text) => bench.tell(`simulator, ${text}`),
    ),
  );
}

function latency(on: "C_Sign" | "C_SignInit", latencyUs: number): { on: typeof on; latencyUs: number } {
  return { on, latencyUs };
}

function findingsOf(found: Found<Rounds>): readonly Finding[] {
  const [few, many, init, bare] = [found.few, found.many, found.init, found.bare].map(perSecond) as [
    number[],
    number[],
    number[],
    number[],
  ];
  const ideal = SESSIONS / (SIGN_US / 1e6);
  const enough = Math.min(ENOUGH_PER_SECOND, OF_BARE * median(bare));
  const rate = (rates: readonly number[]): string => `${rounded(median(rates))}/s`;
  return [
    finding({
      figure: "Simulator, 5 ms, 16 sessions: of sessions ÷ latency",
      value: median(few) / ideal,
      unit: "×",
      target: { atLeast: OF_IDEAL },
      how:
        `${rate(few)} of ${ideal}/s; P-256, answered from the simulator's memory; the raw loop on the same sessions, with ` +
        `nothing before it: ${rate(perSecond(found.raw))}`,
      bound: boundOf(found.few),
    }),
    finding({
      figure: "Simulator, 5 ms, 64 sessions, the token's own work taken out",
      value: median(many),
      unit: "/s",
      target: { atLeast: rounded(enough) },
      how:
        `${ENOUGH_PER_SECOND}/s, or ${OF_BARE} of a bare node:http server that parses the same request and answers ` +
        `a constant: ${rate(bare)} with ${median(found.many.map(({ usage }) => usage.busyProcesses))} process(es), ` +
        `ratio ${rounded(medianRatio(many, bare))}`,
      bound: boundOf(found.many),
    }),
    finding({
      figure: "Simulator, 1 ms C_SignInit and 5 ms C_Sign: of the same without C_SignInit's",
      value: medianRatio(init, many),
      unit: "×",
      target: { atLeast: OF_WITHOUT_INIT },
      how: `${rate(init)} and ${rate(many)}, 64 sessions, in turns`,
      bound: boundOf(found.init),
    }),
    finding({
      figure: "Simulator, 1 ms C_SignInit and 5 ms C_Sign: event-loop delay, p99",
      value: median(found.init.map(({ loopDelayMs }) => loopDelayMs)),
      unit: "ms",
      target: { atMost: LOOP_DELAY_MS },
      how: "monitorEventLoopDelay inside the service, under the same load; of several processes the slowest",
      bound: boundOf(found.init),
    }),
  ];
}
