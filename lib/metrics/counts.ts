import type { Log } from "../log.ts";
import type { Family, Sample } from "./family.ts";
import { Histogram } from "./histogram.ts";

/** What is counted of a request that was answered. */
export interface CountedRequest {
  /** `undefined` where it never became a request. */
  readonly path?: string;
  readonly status: number;
  readonly code?: string | undefined;
  /** In milliseconds. */
  readonly totalMs?: number;
  readonly facts?: {
    readonly credential?: string;
    readonly auditMs?: number;
    readonly timings: { readonly queueMs: number; readonly tokenMs: number };
  };
}

interface Count {
  readonly labels: Readonly<Record<string, string>>;
  value: number;
}

/** Of other paths, a client can think up as many as it likes. */
const PATHS: ReadonlySet<string> = new Set(["/sign", "/certificate", "/healthz", "/readyz", "/metrics"]);
const SIGN_PATH = "/sign";

/** Counts what happens, while it happens, in plain numbers. */
export class Counts {
  readonly #requests = new Map<string, Count>();
  readonly #events = new Map<string, Count>();
  readonly #recoveries = new Map<string, Count>();
  #wrongSignatures = 0;
  readonly #stages = {
    queue: new Histogram(),
    token: new Histogram(),
    audit: new Histogram(),
    total: new Histogram(),
  };

  countRequest({ path = "", status, code = "", totalMs = 0, facts }: CountedRequest): void {
    const known = PATHS.has(path) ? path : "other";
    const credential = facts?.credential ?? "";
    const key = `${known} ${status} ${code} ${credential}`;
    add(this.#requests, key, () => labelsOf({ path: known, status: String(status), code, credential }));
    if (path === SIGN_PATH && status === 200 && facts !== undefined) {
      this.#stages.queue.observe(facts.timings.queueMs / 1_000);
      this.#stages.token.observe(facts.timings.tokenMs / 1_000);
      if (facts.auditMs !== undefined) this.#stages.audit.observe(facts.auditMs / 1_000);
      this.#stages.total.observe(totalMs / 1_000);
    }
  }

  /** A log that counts what it is told: an event that is worth a warning is worth an alarm. */
  counting(log: Log): Log {
    return (level, event, fields) => {
      if (level !== "info") add(this.#events, `${level} ${event}`, () => ({ level, event }));
      if (event === "token.wrong_signature") this.#wrongSignatures += 1;
      if (event === "token.recovering") {
        const disposition = String(fields?.["disposition"]);
        add(this.#recoveries, disposition, () => ({ disposition }));
      }
      log(level, event, fields);
    };
  }

  families(): readonly Family[] {
    return [
      {
        name: "hsm_signer_requests_total",
        help: "Requests that were answered, by path, status, code of the problem and credential.",
        type: "counter",
        samples: () => [...this.#requests.values()],
      },
      {
        name: "hsm_signer_signature_seconds",
        help: "What signatures that were answered took: waiting for a session, in the token, for their record, in total.",
        type: "histogram",
        samples: () =>
          Object.entries(this.#stages).flatMap(([stage, histogram]) => histogram.samples({ stage })),
      },
      {
        name: "hsm_signer_recoveries_total",
        help: "Recoveries of the token that were begun, by what it suffered from.",
        type: "counter",
        samples: () => [...this.#recoveries.values()],
      },
      {
        name: "hsm_signer_wrong_signatures_total",
        help: "Signatures of the token that did not verify, and were not sent.",
        type: "counter",
        samples: (): readonly Sample[] => [{ value: this.#wrongSignatures }],
      },
      {
        name: "hsm_signer_log_events_total",
        help: "Warnings and errors in the log, by event.",
        type: "counter",
        samples: () => [...this.#events.values()],
      },
    ];
  }
}

function add(counts: Map<string, Count>, key: string, labels: () => Count["labels"]): void {
  const count = counts.get(key);
  if (count === undefined) counts.set(key, { labels: labels(), value: 1 });
  else count.value += 1;
}

/** A label that is empty is none. */
function labelsOf(labels: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).filter(([, value]) => value !== ""));
}
