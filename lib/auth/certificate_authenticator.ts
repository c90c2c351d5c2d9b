import type { Caller } from "../caller.ts";
import type { Grant } from "../config/grants.ts";
import { type Authenticator, type Evidence, refuseCertificate } from "./authenticator.ts";
import { grantedCredentials } from "./credential_grant.ts";

interface KnownName {
  readonly caller: Caller;
  readonly expires: number;
}

/** Knows callers by the names in their certificates, each as a file has it. */
export class CertificateAuthenticator implements Authenticator {
  readonly #names: ReadonlyMap<string, KnownName>;
  readonly #now: () => Date;

  constructor(grants: readonly Grant[], standard: string, now: () => Date) {
    this.#now = now;
    this.#names = new Map(
      grants.map(({ name, key, credentials, expires = Number.POSITIVE_INFINITY }) => {
        const granted = grantedCredentials(credentials, standard);
        const caller = Object.freeze({ name: `tls:${name}`, credentials: granted, digest: undefined });
        return [key, { caller, expires }];
      }),
    );
  }

  authenticate({ certificate }: Evidence): Caller | undefined {
    if (certificate === undefined) return undefined;
    if (certificate.fault !== undefined) throw refuseCertificate(`is not valid (${certificate.fault})`);
    const now = this.#now().getTime();
    // The connection may have been made before.
    if (now > certificate.notAfter) throw refuseCertificate("has expired");
    const known = certificate.names.flatMap((name) => this.#names.get(name) ?? []);
    const [found, ...others] = new Set(known);
    if (found === undefined) throw refuseCertificate("is of nobody who may sign");
    if (others.length > 0) throw refuseCertificate("is of several who may sign");
    if (now >= found.expires) throw refuseCertificate("is of somebody who may not sign any more");
    return found.caller;
  }
}
