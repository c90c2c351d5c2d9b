import type { Audit } from "./audit/audit.ts";
import type { ServedCredential } from "./credentials.ts";
import type { Gate } from "./gate.ts";
import type { HttpRequest } from "./http/exchange.ts";
import type { RoutedCredential } from "./http/routes.ts";

/** The way of a signature through the service: its caller's turn, the token, the audit trail. */
export class Signatures {
  readonly #gate: Gate;
  readonly #audit: Audit;
  /** Made once for each: every request asks for one. */
  readonly #routed = new WeakMap<ServedCredential, RoutedCredential>();

  constructor(gate: Gate, audit: Audit) {
    this.#gate = gate;
    this.#audit = audit;
  }

  /** A credential as requests have to do with it. */
  of(served: ServedCredential): RoutedCredential {
    const known = this.#routed.get(served);
    if (known !== undefined) return known;
    const routed = this.#route(served);
    this.#routed.set(served, routed);
    return routed;
  }

  #route({ signer, certificatePem }: ServedCredential): RoutedCredential {
    const { label, chain } = signer.credential;
    return {
      label,
      hash: signer.credential.signer.algorithm.hash,
      serialNumber: chain.leaf.serialNumber.toLowerCase(),
      certificatePem,
      sign: (digest, timings, asker) =>
        this.#gate.sign(asker, timings, () => {
          // The token is not asked for what could not be answered.
          this.#audit.requireAvailable();
          return signer.sign(digest, timings);
        }),
    };
  }

  /**
   * Resolves when a signature may be answered.
   *
   * @throws SignerError `ERR_AUDIT_UNAVAILABLE`
   */
  async record(
    { id, facts }: HttpRequest,
    credential: RoutedCredential,
    signedData: Uint8Array,
  ): Promise<void> {
    if (!this.#audit.isOn) return;
    const start = performance.now();
    const { label, hash, serialNumber } = credential;
    const { caller, digest = "" } = facts;
    await this.#audit.record(
      {
        request: id,
        ...(caller === undefined ? {} : { caller }),
        credential: label,
        hash: hash.name,
        digest,
        certificate: serialNumber,
      },
      signedData,
    );
    facts.auditMs = performance.now() - start;
  }
}
