import { type Caller, type ClientCertificate, UnauthenticatedError } from "../caller.ts";

/** What a request shows of who sent it, taken apart. */
export interface Evidence {
  /** The token of `Authorization: Bearer`. */
  readonly bearer: string | undefined;
  readonly certificate: ClientCertificate | undefined;
}

/** One way in. */
export interface Authenticator {
  /**
   * @returns the caller; at once `undefined` where nothing of its kind is shown
   * @throws UnauthenticatedError when what is shown is not good, at once or later
   */
  authenticate(evidence: Evidence): Caller | undefined | Promise<Caller>;
}

const REALM = 'realm="hsm-signer"';
/** How to do better, for those who showed nothing (RFC 6750 §3). */
export const BEARER_CHALLENGE: string = `Bearer ${REALM}`;
/** Of no standard: where certificates are the only way in, there is no scheme to name. */
export const CERTIFICATE_CHALLENGE: string = `ClientCertificate ${REALM}`;

/**
 * A bearer token that is not good (RFC 6750 §3.1).
 *
 * @param state goes on from "the token"; holds nothing of it, and no quote
 */
export function refuseBearer(state: string): UnauthenticatedError {
  return new UnauthenticatedError(
    `Cannot authenticate: the token ${state}`,
    `${BEARER_CHALLENGE}, error="invalid_token", error_description="the token ${state}"`,
  );
}

/** @param state goes on from "the client certificate" */
export function refuseCertificate(state: string): UnauthenticatedError {
  return new UnauthenticatedError(
    `Cannot authenticate: the client certificate ${state}`,
    CERTIFICATE_CHALLENGE,
  );
}
