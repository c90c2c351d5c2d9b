import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { PROJECT } from "../dev/service_process.ts";
import { type Bench, withService } from "./bench.ts";
import { fullLoad, HASH } from "./measure/loads.ts";
import { Inside } from "./service/inside.ts";

/** `npm run bench -- --profile`: where the service's JavaScript thread spends its time under the P-256 load. */

/** What the inspector calls Profiler.Profile, as far as it is used here. */
interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string };
    readonly children?: readonly number[];
  }[];
  /** The node of each sample. */
  readonly samples: readonly number[];
  /** Microseconds before each sample. */
  readonly timeDeltas: readonly number[];
}

const ALGORITHM = "P-256";
const MOST_FUNCTIONS = 30;
/** The compiler needs some seconds before it has seen everything. */
const WARM_UP_MS = 3_000;
const NOT_WORK = new Set(["(idle)", "(root)"]);

/** Writes the profile of each process, and gives the table of the busiest one. */
export async function profile(bench: Bench, directory: URL): Promise<string> {
  const inside = new Inside<CpuProfile>("profile.ts", bench.directory);
  const profiles = await withService(bench, { algorithm: ALGORITHM, ...inside.wanted }, async (service) => {
    await fullLoad(bench, service, HASH, { measure: { ms: WARM_UP_MS } });
    // The first answer is what was before, and begins the profile.
    await inside.ask();
    await fullLoad(bench, service, HASH);
    return inside.ask();
  });
  for (const [index, found] of profiles.entries()) {
    const path = new URL(`${ALGORITHM}${index > 0 ? `-${index}` : ""}.cpuprofile`, directory);
    writeFileSync(path, JSON.stringify(found));
    bench.tell(`wrote ${fileURLToPath(path)}`);
  }
  const tables = profiles.map(selfTimes).toSorted((one, other) => other.busyMicros - one.busyMicros);
  return tables[0]?.text ?? "";
}

/** The functions that took most of the time that was not idle, without what they called. */
function selfTimes({ nodes, samples, timeDeltas }: CpuProfile): {
  readonly busyMicros: number;
  readonly text: string;
} {
  const places = placesOf(nodes);
  const times = new Map<string, number>();
  for (const [index, node] of samples.entries()) {
    const place = places.get(node) ?? "";
    // The delta behind a sample is the time for which it stands.
    times.set(place, (times.get(place) ?? 0) + (timeDeltas[index + 1] ?? 0));
  }
  const all = [...times.values()].reduce((sum, time) => sum + time, 0);
  const busy = [...times].filter(([place]) => !NOT_WORK.has(place));
  const busyMicros = busy.reduce((sum, [, time]) => sum + time, 0);
  const percent = (time: number): string => `${((100 * time) / busyMicros).toFixed(1)} %`.padStart(8);
  const lines = busy
    .toSorted(([, one], [, other]) => other - one)
    .slice(0, MOST_FUNCTIONS)
    .map(([place, time]) => `${percent(time)}  ${place}\n`);
  const share = Math.round((100 * busyMicros) / all);
  return {
    busyMicros,
    text: `${ALGORITHM}, { hash }: busy in ${share} % of the time; of that\n${lines.join("")}`,
  };
}

/** What each node is called: by function and file, and native functions by who calls them, too. */
function placesOf(nodes: CpuProfile["nodes"]): ReadonlyMap<number, string> {
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  const callers = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id])));
  const placeOf = (id: number | undefined): string => {
    const { functionName = "", url = "" } = (id === undefined ? undefined : frames.get(id)) ?? {};
    // Lines say nothing: the loader has put everything on one.
    if (url !== "") return `${functionName || "(anonymous)"}  ${url.replace(`file://${PROJECT}/`, "")}`;
    if (functionName.startsWith("(") || id === undefined) return functionName;
    return `${functionName || "(native)"} ← ${placeOf(callers.get(id))}`;
  };
  return new Map(nodes.map(({ id }) => [id, placeOf(id)]));
}
