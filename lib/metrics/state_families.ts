import { counter, type Family, gauge } from "./family.ts";

/** What the service is asked when somebody reads its metrics. */
export interface ServiceState {
  sessions(): {
    readonly size: number;
    readonly open: number;
    readonly leased: number;
    readonly overdue: number;
    readonly waiting: number;
  };
  /** Milliseconds until the chain of each credential expires; negative afterwards. */
  certificates(): readonly { readonly credential: string; readonly remainingMs: number }[];
  /** Before the pool. */
  queue(): { readonly running: number; readonly waiting: number };
  /** `undefined` where there is no trail. */
  audit():
    | {
        readonly failure: string | undefined;
        readonly record: number;
        readonly checkpoint: { readonly record: number; readonly time: Date } | undefined;
        readonly failures: number;
        readonly unrecorded: number;
        readonly checkpointsFailed: number;
      }
    | undefined;
  linesLost(): number;
}

/** Metrics that are no sums of what happened, but how things are. */
export function stateFamilies(state: ServiceState): readonly Family[] {
  return [
    ...poolFamilies(state),
    queueFamily(state),
    certificateFamily(state),
    ...auditFamilies(state),
    lostLines(state),
  ];
}

function poolFamilies({ sessions }: ServiceState): readonly Family[] {
  return [
    gauge("hsm_signer_pool_size", "Sessions of the pool at most.", () => sessions().size),
    gauge("hsm_signer_pool_open", "Sessions that are open.", () => sessions().open),
    gauge("hsm_signer_pool_leased", "Sessions that sign now.", () => sessions().leased),
    gauge("hsm_signer_pool_overdue", "Sessions whose call hangs in the module.", () => sessions().overdue),
    gauge("hsm_signer_pool_waiting", "Signatures that wait for a session.", () => sessions().waiting),
  ];
}

function queueFamily({ queue }: ServiceState): Family {
  return gauge(
    "hsm_signer_queue_waiting",
    "Signatures that wait for their caller's turn.",
    () => queue().waiting,
  );
}

function certificateFamily({ certificates }: ServiceState): Family {
  return {
    name: "hsm_signer_certificate_remaining_seconds",
    help: "Time until the certificate chain of a credential expires; negative afterwards.",
    type: "gauge",
    samples: () =>
      certificates().map(({ credential, remainingMs }) => ({
        labels: { credential },
        value: remainingMs / 1_000,
      })),
  };
}

function auditFamilies({ audit }: ServiceState): readonly Family[] {
  const isUp = (): number | undefined => {
    const state = audit();
    return state === undefined ? undefined : Number(state.failure === undefined);
  };
  return [
    gauge("hsm_signer_audit_up", "Whether the audit trail can be written to.", isUp),
    gauge("hsm_signer_audit_record", "Number of the trail's last record.", () => audit()?.record),
    gauge(
      "hsm_signer_audit_checkpoint_record",
      "Number of the trail's last checkpoint.",
      () => audit()?.checkpoint?.record,
    ),
    gauge("hsm_signer_audit_checkpoint_timestamp_seconds", "When that checkpoint was made.", () => {
      const time = audit()?.checkpoint?.time.getTime();
      return time === undefined ? undefined : time / 1_000;
    }),
    counter(
      "hsm_signer_audit_failures_total",
      "How many times writing the trail began to fail.",
      () => audit()?.failures,
    ),
    counter(
      "hsm_signer_audit_unrecorded_total",
      "Signatures that were answered without a record.",
      () => audit()?.unrecorded,
    ),
    counter(
      "hsm_signer_audit_checkpoints_failed_total",
      "Checkpoints that could not be made.",
      () => audit()?.checkpointsFailed,
    ),
  ];
}

function lostLines({ linesLost }: ServiceState): Family {
  return counter("hsm_signer_log_lines_lost_total", "Lines of the log that nobody took.", linesLost);
}
