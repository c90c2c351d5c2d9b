import { setFlagsFromString } from "node:v8";

/** What differs between the runtimes, in one place. Node 20.19 and everything later is one, but for its loader. */

export const IS_DENO: boolean = "deno" in process.versions;

/** What Deno 2.9 lacks of what Node has, and what becomes of it. Tests ask for each by its name. */
export const DENO_LACKS = {
  "X.509": "node:crypto's X509Certificate has gaps and a way of its own: lib/credential/deno_certificate.ts",
  "ECDSA over short digests":
    "node:crypto neither makes nor verifies ECDSA with P-521 over SHA-256: lib/verify_signature.ts",
  "OpenSSL for addons":
    "exports none to lib/native: lib/verify_signature.ts verifies, not the thread that signed, and node:crypto hashes large documents on the JavaScript thread",
  "rare curves":
    "no API verifies with Ed448 or with curves other than P-256, P-384 and P-521: a CA's certificate with one is refused",
  "quoted alternative names":
    "X509Certificate.subjectAltName could be read in two ways: of a client's certificate the common name alone counts",
  "reasons from TLS": "a client's certificate that is not valid is refused, and the log does not say why",
  "end of refused TLS connections":
    "one whose request was answered before its body does not end by itself, and is cut: lib/http/send_reply.ts",
  "resumption of TLS sessions": "each connection makes a whole handshake",
  "points on their curve": "a JWK that is none verifies nothing, but is not found when its file is read",
  "limit of chunk extensions": "node:http passes over chunk extensions of any length",
  "output that does not block":
    "standard output blocks: the service stands still while whoever reads its log from a pipe does not",
  "immunity to SIGXFSZ":
    "a file that may not grow (setrlimit(2)) would end the process: prepareProcess below",
  "exit event after errors":
    "an error that nobody caught would end the process without its last lines of log: prepareProcess below",
  "timers that let go":
    "node:timers keeps them in a Map, whose tables let what requests made grow old: there is more garbage to collect",
  "paths through /proc":
    "only --allow-all allows them: the path of AUDIT_FILE has 86 bytes at most, symbolic links resolved",
} as const;

export type Lack = keyof typeof DENO_LACKS;

export function lacks(what: Lack): boolean {
  return IS_DENO && what in DENO_LACKS;
}

/**
 * What V8 is told, beside the size of its youngest generation, which it wants to know when it starts (bin/hsm-signer).
 *
 * - How much the heap may grow between two collections, in percent: V8's own measure lets a service whose machine has
 *   memory to spare grow for minutes. It costs some milliseconds every few seconds, under full load.
 * - The thread that everybody waits for collects young objects alone: where cores are short, to wait for helpers takes
 *   longer.
 * - Nothing is made among the old objects because many from the same line lived long. Of a request nothing does, but
 *   under load a chance collection finds all of a moment alive; from then on that line's garbage is old, and to collect
 *   it means to mark the whole heap: some processes of the same service were a fifth slower than others.
 */
const V8_FLAGS = ["--heap-growing-percent=30", "--no-parallel-scavenge", "--no-allocation-site-pretenuring"];

/** Has a process that serves keep to its memory; and end as on Node: when it must, and with its last words. */
export function prepareProcess(): void {
  for (const flag of V8_FLAGS) setFlagsFromString(flag);
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
