import { type AttributeEvent, CMS_PROFILE } from "./cms/attributes.ts";
import { SignedDataBuilder } from "./cms/signed_data.ts";
import type { Credential } from "./credential/credential.ts";
import { SignerError } from "./errors.ts";
import type { SignTimings } from "./signer.ts";

/**
 * Signs digests of documents with one credential: digest → signed attributes → signature → SignedData.
 */
export class DocumentSigner {
  readonly credential: Credential;
  readonly #builder: SignedDataBuilder;
  readonly #now: () => Date;

  constructor(credential: Credential, now: () => Date) {
    this.credential = credential;
    this.#now = now;
    this.#builder = new SignedDataBuilder({
      algorithm: credential.signer.algorithm,
      certificates: credential.chain.embedded,
      profile: CMS_PROFILE,
    });
  }

  /** Length in bytes, at most, of the containers that `sign` returns: what a placeholder has to hold. */
  get maxContainerLength(): number {
    return this.#builder.maxLength;
  }

  get isExpired(): boolean {
    return this.#now() > this.credential.chain.notAfter;
  }

  /** Why nothing is signed any more once the chain has expired. */
  expiry(): SignerError {
    const { label, chain } = this.credential;
    return new SignerError(
      "ERR_CERTIFICATE_EXPIRED",
      `Cannot sign: the certificate chain of "${label}" (CERT_DIR) expired at ${chain.notAfter.toISOString()}; ` +
        "replace it and reload (SIGHUP)",
    );
  }

  /**
   * @param digest of the byte range, of the credential's hash
   * @param timings takes what the signature took
   * @returns the detached SignedData in its ContentInfo, DER
   * @throws SignerError when the signer cannot sign now, or the chain has expired
   */
  async sign(digest: Uint8Array, timings?: SignTimings): Promise<Uint8Array> {
    const time = this.#now();
    if (time > this.credential.chain.notAfter) throw this.expiry();
    const event: AttributeEvent = { digest, time };
    const attributes = this.#builder.signedAttributes(event);
    const signature = await this.credential.signer.sign(attributes, timings);
    return this.#builder.container(attributes, signature);
  }
}
