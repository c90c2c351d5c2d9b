/**
 * What differs between the runtimes, in one place.
 *
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
  if ("deno" in process.versions) return { threads: undefined };
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
