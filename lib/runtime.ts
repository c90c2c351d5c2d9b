/** What differs between the runtimes, in one place. Node 20.19 and everything later is one, but for its loader. */

export const IS_DENO: boolean = "deno" in process.versions;

/** What Deno 2.9 lacks of what Node has, and what becomes of it. Tests ask for each by its name. */
export const DENO_LACKS = {
  "X.509": "node:crypto's X509Certificate has gaps and a way of its own: lib/credential/deno_certificate.ts",
  "ECDSA over short digests":
    "node:crypto neither makes nor verifies ECDSA with P-521 over SHA-256: lib/verify_signature.ts",
  "OpenSSL for addons":
    "exports none to lib/hsm/native: lib/verify_signature.ts verifies, not the thread that signed",
  "rare curves":
    "no API verifies with Ed448 or with curves other than P-256, P-384 and P-521: a CA's certificate with one is refused",
  "quoted alternative names":
    "X509Certificate.subjectAltName could be read in two ways: of a client's certificate the common name alone counts",
  "reasons from TLS": "a client's certificate that is not valid is refused, and the log does not say why",
  "end of refused TLS connections":
    "one whose request was answered before its body does not end by itself, and is cut: lib/http/send_reply.ts",
  "resumption of TLS sessions": "each connection makes a whole handshake",
  "points on their curve": "a JWK that is none verifies nothing, but is not found when its file is read",
  "limit of threads": "C_Sign gets as many threads as it needs; UV_THREADPOOL_SIZE says nothing",
  "limit of chunk extensions": "node:http passes over chunk extensions of any length",
  "output that does not block":
    "standard output blocks: the service stands still while whoever reads its log from a pipe does not",
  "prompt release of memory":
    "what large documents were read into is released late: they take some 300 MB, however large they are",
  "immunity to SIGXFSZ":
    "a file that may not grow (setrlimit(2)) would end the process: prepareProcess below",
  "exit event after errors":
    "an error that nobody caught would end the process without its last lines of log: prepareProcess below",
  "paths through /proc":
    "only --allow-all allows them: the path of AUDIT_FILE has 86 bytes at most, symbolic links resolved",
} as const;

export type Lack = keyof typeof DENO_LACKS;

export function lacks(what: Lack): boolean {
  return IS_DENO && what in DENO_LACKS;
}

/**
 * A C_Sign occupies one thread of libuv's pool until the HSM answers: with fewer threads than sessions, the
 * rest of the sessions are for nothing. libuv reads UV_THREADPOOL_SIZE at the first use of the pool; a loader
 * such as tsx uses it before the first line of the program runs, Node's own type stripping does not.
 */
export interface ThreadPool {
  /** Threads that C_Sign can have; `undefined` where the runtime grows them by need (Deno). */
  readonly threads: number | undefined;
}

const LIBUV_DEFAULT_THREADS = 4;
/** Threads for everything that is not a C_Sign: files, name look-ups. */
const OTHER_THREADS = 4;

/** Threads that a service with so many sessions needs. */
export function threadsFor(sessions: number): number {
  return sessions + OTHER_THREADS;
}

/** Sees to it, where that is still possible, that the pool has `wanted` threads, and says how many there are. */
export function sizeThreadPool(wanted: number, environment: NodeJS.ProcessEnv = process.env): ThreadPool {
  if (lacks("limit of threads")) return { threads: undefined };
  const given = Number(environment["UV_THREADPOOL_SIZE"] ?? "");
  if (given > 0) return { threads: given };
  if (runsThroughLoader()) return { threads: LIBUV_DEFAULT_THREADS };
  environment["UV_THREADPOOL_SIZE"] = String(wanted);
  return { threads: wanted };
}

function runsThroughLoader(): boolean {
  return process.execArgv.some((argument) =>
    /^--(import|loader|experimental-loader|require)\b|^-r$/.test(argument),
  );
}

/** Has a process that serves end as on Node: when it must, and with its last words. */
export function prepareProcess(): void {
  if (lacks("immunity to SIGXFSZ")) process.on("SIGXFSZ", () => {});
  if (!lacks("exit event after errors")) return;
  const end = (error: unknown): void => {
    console.error(error);
    process.exit(1);
  };
  process.on("uncaughtException", end);
  process.on("unhandledRejection", end);
}

/**
 * Ends the process now. Left to itself it would wait for a C_Sign that hangs, and would unload the PKCS#11
 * library, which one that has threads of its own does not survive.
 *
 * @param isHung whether a call never returned: every other way to end than SIGKILL waits for its thread
 */
export function endProcess(code: number, isHung = false): void {
  if (isHung) process.kill(process.pid, "SIGKILL");
  else process.exit(code);
}
