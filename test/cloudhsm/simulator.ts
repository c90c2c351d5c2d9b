import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import pkcs11 from "pkcs11js";
import { softHsmToken } from "../../dev/softhsm.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import type { TestToken } from "../support/token.ts";

/** What CloudHSM answers where its documentation does not say; see README.md beside this file. */
export type CodeSwitch =
  | "LOCKING"
  | "SESSION_COUNT"
  | "PIN_FORM"
  | "USER_TYPE"
  | "UNSUPPORTED"
  | "VALUE"
  | "INCOMPLETE"
  | "KEY_SIZE"
  | "CURVE"
  | "MULTI_PART";

export interface SimulatorSettings {
  /** Names of return values, as in `CKR_FUNCTION_FAILED`. */
  readonly codes?: Readonly<Partial<Record<CodeSwitch, string>>>;
  /** Sessions that a process may have. */
  readonly sessions?: number;
  /** Refused PINs in a row that lock the user. */
  readonly pinTries?: number;
  readonly validatesKeyAtInit?: boolean;
}

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
}

const USER = "signer";
/** Of a name and a count, in simulator.c. */
const RECORD = { length: 32, nameLength: 24 };

/** Compiles the library and makes a token for it. */
export function cloudHsmSimulator(settings: SimulatorSettings = {}): Simulator {
  const directory = temporaryDirectory();
  const modulePath = join(directory, "cloudhsm_simulator.so");
  compile("simulator.c", modulePath, "-shared", "-fPIC");
  const token = softHsmToken(directory, "below the simulator");
  const counters = join(directory, "counters");
  const environment: Record<string, string> = {
    ...token.environment,
    SIM_MODULE: token.modulePath,
    SIM_COUNTERS: counters,
    SIM_USER: USER,
  };
  const count = (name: string): number => readCounters(counters).get(name) ?? 0;
  const configure = (wanted: SimulatorSettings): Readonly<Record<string, string>> => {
    for (const name of Object.keys(process.env)) if (isSwitch(name)) delete process.env[name];
    const all = { ...environment, ...switches(wanted) };
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
  };
}

/** Compiles a C file of this folder; a warning is an error. */
export function compile(source: string, result: string, ...flags: string[]): void {
  const here = dirname(fileURLToPath(import.meta.url));
  const headers = join(here, "../../node_modules/pkcs11js/includes/pkcs11");
  const strict = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1"];
  execFileSync("cc", [
    ...strict,
    ...flags,
    `-I${headers}`,
    "-o",
    result,
    join(here, source),
    "-ldl",
    "-pthread",
  ]);
}

const isSwitch = (name: string): boolean =>
  /^SIM_(CODE_\w+|SESSIONS|PIN_TRIES|VALIDATE_KEY_AT_INIT)$/.test(name);

function switches(settings: SimulatorSettings): Record<string, string> {
  const { codes = {}, sessions, pinTries, validatesKeyAtInit } = settings;
  return {
    ...Object.fromEntries(
      Object.entries(codes).map(([name, code]) => [`SIM_CODE_${name}`, String(constant(code))]),
    ),
    ...(sessions === undefined ? {} : { SIM_SESSIONS: String(sessions) }),
    ...(pinTries === undefined ? {} : { SIM_PIN_TRIES: String(pinTries) }),
    ...(validatesKeyAtInit === undefined ? {} : { SIM_VALIDATE_KEY_AT_INIT: String(validatesKeyAtInit) }),
  };
}

/** Of PKCS#11 v2.40, and not of pkcs11js. */
const MISSING_CONSTANTS: ReadonlyMap<string, number> = new Map([["CKR_CURVE_NOT_SUPPORTED", 0x140]]);

/** The number of a constant of PKCS#11. */
export function constant(name: string): number {
  const value: unknown = Reflect.get(pkcs11, name) ?? MISSING_CONSTANTS.get(name);
  if (typeof value !== "number") throw new TypeError(`${name} is not a constant of pkcs11js`);
  return value;
}

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
