import { join } from "node:path";
import type { SoftHsmToken } from "../dev/softhsm.ts";
import type { KeyAlgorithmName } from "../lib/algorithms.ts";
import type { Finding } from "./measure/finding.ts";
import type { Row } from "./measure/rows.ts";
import type { Options } from "./options.ts";
import { type Service, startService } from "./service/service.ts";

/** What the sections have in common: the options, a token, a directory, somebody to tell how far it is. */
export interface Bench {
  readonly options: Options;
  /** Gone when the process is. */
  readonly directory: string;
  readonly token: BenchToken;
  tell(text: string): void;
}

/** A SoftHSM2 token, or another with a library of its own. */
export interface BenchToken extends Omit<SoftHsmToken, "environment"> {
  readonly environment: Readonly<Record<string, string>>;
}

/** A group of figures. */
export type Section = (bench: Bench) => Promise<SectionResult>;

export interface SectionResult {
  readonly findings: readonly Finding[];
  /** Rates, by the title of their table. */
  readonly tables?: Readonly<Record<string, readonly Row[]>>;
}

/** Of the service and of the raw loop alike. */
export const SESSIONS = 16;
export const CONNECTIONS = 64;
/** Of libuv, for what is no C_Sign: files, verification. */
const OTHER_THREADS = 8;

/** What is special about a service. */
export interface ServiceWanted {
  readonly algorithm: KeyAlgorithmName;
  readonly token?: BenchToken;
  readonly sessions?: number;
  readonly environment?: Readonly<Record<string, string>>;
  readonly nodeArguments?: readonly string[];
  readonly command?: readonly string[];
}

/**
 * Runs a service while something is done with it. Its warnings and errors are told: figures beside which there are
 * any are not worth keeping.
 */
export async function withService<T>(
  bench: Bench,
  wanted: ServiceWanted,
  work: (service: Service) => Promise<T>,
): Promise<T> {
  const { nodeArguments = [], command } = wanted;
  const service = await startService({
    nodeArguments,
    ...(command === undefined ? {} : { command }),
    environment: serviceEnvironment(bench, wanted),
    log: join(bench.directory, `service-${process.hrtime.bigint()}.log`),
  });
  try {
    return await work(service);
  } finally {
    await service.stop();
    for (const line of service.troubles()) bench.tell(line);
  }
}

/** Threads that a process with so many sessions is given. */
export function threadsFor(sessions: number): string {
  return String(sessions + OTHER_THREADS);
}

/** Settings of the service by README.md, "Configuration"; the key's label is the algorithm's name. */
export function serviceEnvironment(
  bench: Bench,
  { algorithm, token = bench.token, sessions = SESSIONS, environment = {} }: ServiceWanted,
): Readonly<Record<string, string>> {
  return {
    ...token.environment,
    HSM_MODULE: token.modulePath,
    HSM_TOKEN_LABEL: token.label,
    HSM_PIN: token.pin,
    HSM_KEY_LABEL: algorithm,
    HSM_KEY_ALGORITHM: algorithm,
    HSM_AUTO_PROVISION: "true",
    HSM_SESSIONS: String(sessions),
    // A certificate is of one token's key.
    CERT_DIR: join(bench.directory, `certs-${token.label}`),
    HOST: "127.0.0.1",
    PORT: "0",
    ...environment,
    ...bench.options.settings,
  };
}
