import { readFileSync } from "node:fs";
import { join } from "node:path";
import { softHsmToken } from "../../dev/softhsm.ts";
import { compileLibrary } from "../support/compile.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import type { TestToken } from "../support/token.ts";
import { giveOrder, type Order, writeFirstOrder } from "./order.ts";
import { environmentOf, type SimulatorSettings } from "./settings.ts";

/** A CloudHSM of this process, over a SoftHSM2 token of its own, and what was asked of it by all processes. */
export interface Simulator extends TestToken {
  /** What a process that loads the library has to have in its environment; this one has it already. */
  readonly environment: Readonly<Record<string, string>>;
  /** How it behaves from the next C_Initialize of this process on, and for processes with the result. */
  configure(settings: SimulatorSettings): Readonly<Record<string, string>>;
  /** Requests to the cluster since the simulator was made. */
  clusterRequests(): number;
  /** Calls of a PKCS#11 function since the simulator was made. */
  calls(name: string): number;
  pinsRefused(): number;
  /** What is wrong from now on, in all processes; nothing, where nothing is said. */
  order(order?: Order): void;
  /** What orders did to calls since the simulator was made. */
  injected(): { readonly failed: number; readonly hung: number; readonly wrongSignatures: number };
}

const USER = "signer";
const SOURCES = ["simulator.c", "counters.c", "faults.c", "memory.c"].map(
  (source) => `test/cloudhsm/${source}`,
);
/** Of a name and a count, in simulator.c. */
const RECORD = { length: 32, nameLength: 24 };

/** Compiles the library and makes a token for it. */
export function cloudHsmSimulator(settings: SimulatorSettings = {}): Simulator {
  const directory = temporaryDirectory();
  const modulePath = join(directory, "cloudhsm_simulator.so");
  compileLibrary(SOURCES, modulePath);
  const token = softHsmToken(directory, "below the simulator");
  const counters = join(directory, "counters");
  const control = join(directory, "control");
  writeFirstOrder(control, token.pin);
  const environment: Record<string, string> = {
    ...token.environment,
    SIM_MODULE: token.modulePath,
    SIM_COUNTERS: counters,
    SIM_CONTROL: control,
    SIM_USER: USER,
  };
  const count = (name: string): number => readCounters(counters).get(name) ?? 0;
  const configure = (wanted: SimulatorSettings): Readonly<Record<string, string>> => {
    for (const name of Object.keys(process.env)) if (name.startsWith("SIM_")) delete process.env[name];
    const all = { ...environment, ...environmentOf(wanted) };
    Object.assign(process.env, all);
    return all;
  };
  return {
    modulePath,
    label: "hsm1",
    pin: `${USER}:${token.pin}`,
    environment: configure(settings),
    configure,
    clusterRequests: () => count("cluster requests"),
    calls: count,
    pinsRefused: () => count("PINs refused"),
    order: (order = {}) => giveOrder(control, order),
    injected: () => ({
      failed: count("calls failed"),
      hung: count("calls hung"),
      wrongSignatures: count("wrong signatures"),
    }),
  };
}

/** Compiles C files of this folder; a warning is an error. */
function readCounters(path: string): ReadonlyMap<string, number> {
  const bytes = readFileSync(path);
  const records = Array.from({ length: bytes.length / RECORD.length }, (_, index) =>
    bytes.subarray(index * RECORD.length, (index + 1) * RECORD.length),
  );
  return new Map(
    records.map((record) => [
      record.toString("latin1", 0, record.indexOf(0)),
      Number(record.readBigUInt64LE(RECORD.nameLength)),
    ]),
  );
}
