import type { SignatureTimes } from "../../hsm/examination.ts";
import { type Outcome, ok, warning } from "./finding.ts";

/**
 * From where on C_SignInit counts as a round trip of its own, in milliseconds. Two marks, for two questions.
 *
 * Is it one? What stays inside the library is over in less than 0.1 ms (SoftHSM2, which decrypts the key each time).
 * Other load makes calls longer, and never shorter, so that the *fastest* of twenty shows what a call is; one that
 * goes to an HSM and back is never faster than the network and the HSM's look at the key.
 *
 * Does it matter? It keeps a session and the cluster busy beside C_Sign: from half a millisecond on that is a good
 * part of a signature. Below that the HSM is the limit, whatever is done here.
 *
 * C_Sign is no measure for either: with RSA-4096 it takes several times as long as with RSA-2048, and a round trip
 * does not.
 */
const ROUND_TRIP_MS = { fastest: 0.3, median: 0.5 };

const SWITCH = "sudo /opt/cloudhsm/bin/configure-pkcs11 --disable-validate-key-at-init";

/**
 * What the times say.
 *
 * @param sessions that the service will sign with, where that is known
 */
export function judgeTimes({ init, sign }: SignatureTimes, sessions: number | undefined): Outcome {
  const [initMs, signMs] = [median(init), median(sign)];
  const found =
    `C_SignInit ${milliseconds(initMs)}, C_Sign ${milliseconds(signMs)} (medians of ${init.length})` +
    ceiling(initMs, signMs, sessions);
  const isRoundTrip = Math.min(...init) > ROUND_TRIP_MS.fastest && initMs > ROUND_TRIP_MS.median;
  if (!isRoundTrip) return ok(found);
  return warning(
    `${found}; C_SignInit makes a round trip of its own: each signature asks the cluster twice`,
    `On CloudHSM, switch it off, then restart the service: \`${SWITCH}\`.`,
  );
}

/** A session carries one signature at a time. */
function ceiling(initMs: number, signMs: number, sessions: number | undefined): string {
  if (sessions === undefined) return "";
  const number = perSecond((sessions / (initMs + signMs)) * 1_000);
  return `: ${sessions === 1 ? "one session carries" : `${sessions} sessions carry`} at most ${number}, if the HSM keeps up`;
}

/** Two significant digits: it is an estimate. */
function perSecond(number: number): string {
  return `some ${Number(number.toPrecision(2)).toLocaleString("en")} signatures a second`;
}

function milliseconds(value: number): string {
  return `${value.toFixed(value < 10 ? 2 : 0)} ms`;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const around = sorted.slice(Math.ceil(middle) - 1, Math.floor(middle) + 1);
  return around.reduce((sum, value) => sum + value, 0) / around.length;
}
