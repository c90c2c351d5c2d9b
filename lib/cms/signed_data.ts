import * as asn1js from "asn1js";
import { ContentInfo, EncapsulatedContentInfo } from "pkijs";
import type { SignatureAlgorithm } from "../algorithms.ts";
import { digestAlgorithmIdentifier, signatureAlgorithmIdentifier } from "./algorithm_identifiers.ts";
import type { AttributeEvent, Profile } from "./attributes.ts";
import { DerWriter, setOf, TAG, tlv, tlvLength } from "./der.ts";

export interface SignedDataOptions {
  readonly algorithm: SignatureAlgorithm;
  /** DER, the signer's first. All of them are embedded. */
  readonly certificates: readonly Uint8Array[];
  readonly profile: Profile;
}

const VERSION_1 = Uint8Array.of(TAG.integer, 1, 1);
/** Of the headers of all values that are made for each signature, in bytes; none of them takes more than 6. */
const HEADERS = 8 * 6;

/**
 * Builds detached CMS SignedData (RFC 5652 §5) for one credential: attributes from a digest, and the container
 * from attributes and a signature over them. It knows neither documents nor keys.
 *
 * What is the same for every signature is encoded once. Everything is DER, the SET OFs sorted.
 */
export class SignedDataBuilder {
  readonly #attributes: readonly ((event: AttributeEvent) => Uint8Array)[];
  readonly #algorithm: SignatureAlgorithm;
  /** SignerInfo before and after the signed attributes. */
  readonly #signerHead: Uint8Array;
  readonly #signatureAlgorithm: Uint8Array;
  /** SignedData before the signerInfos. */
  readonly #head: Uint8Array;
  /** What a container takes beside attributes and signature, in bytes, at most. */
  readonly #room: number;

  constructor({ algorithm, certificates, profile }: SignedDataOptions) {
    const [certificate] = certificates;
    if (certificate === undefined)
      throw new RangeError("Cannot build a SignedData without the signer's certificate");
    const digestAlgorithm = digestAlgorithmIdentifier(algorithm.hash);
    this.#algorithm = algorithm;
    this.#attributes = profile.map((provider) => provider({ hash: algorithm.hash, certificate }));
    this.#signerHead = Buffer.concat([VERSION_1, issuerAndSerialNumber(certificate), digestAlgorithm]);
    this.#signatureAlgorithm = signatureAlgorithmIdentifier(algorithm);
    this.#head = Buffer.concat([
      VERSION_1,
      tlv(TAG.set, digestAlgorithm),
      detachedContent(),
      setOf(TAG.context0, certificates),
    ]);
    const same = [this.#signerHead, this.#signatureAlgorithm, this.#head, SIGNED_DATA_OID];
    this.#room = same.reduce((room, { length }) => room + length, HEADERS);
  }

  /**
   * The signed attributes, as they are signed: DER with the EXPLICIT SET OF tag (RFC 5652 §5.4).
   *
   * @throws RangeError when the digest is not as long as the algorithm's
   */
  signedAttributes(event: AttributeEvent): Uint8Array {
    return setOf(
      TAG.set,
      this.#attributes.map((make) => make(event)),
    );
  }

  /**
   * The ContentInfo with its SignedData.
   *
   * @param signedAttributes as `signedAttributes` gave them
   * @param signature over them, encoded as CMS carries it
   * @param unsignedAttributes DER Attributes, such as a signature time-stamp
   */
  container(
    signedAttributes: Uint8Array,
    signature: Uint8Array,
    unsignedAttributes: readonly Uint8Array[] = [],
  ): Uint8Array {
    const unsigned = unsignedAttributes.length === 0 ? NOTHING : setOf(TAG.context1, unsignedAttributes);
    return new DerWriter(this.#room + signedAttributes.length + signature.length + unsigned.length)
      .prepend(unsigned)
      .prependValue(TAG.octetString, signature)
      .prepend(this.#signatureAlgorithm)
      .prependAs(TAG.context0, signedAttributes)
      .prepend(this.#signerHead)
      .enclose(TAG.sequence)
      .enclose(TAG.set)
      .prepend(this.#head)
      .enclose(TAG.sequence)
      .enclose(TAG.context0)
      .prepend(SIGNED_DATA_OID)
      .enclose(TAG.sequence).written;
  }

  /** Length of the container in bytes, at most; exact for RSA. Unsigned attributes come on top. */
  get maxLength(): number {
    const { hash, maxSignatureLength } = this.#algorithm;
    const attributes = this.signedAttributes({ digest: new Uint8Array(hash.length), time: new Date(0) });
    const signerInfo = tlvLength(
      this.#signerHead.length +
        attributes.length +
        this.#signatureAlgorithm.length +
        tlvLength(maxSignatureLength),
    );
    const signedData = tlvLength(this.#head.length + tlvLength(signerInfo));
    return tlvLength(SIGNED_DATA_OID.length + tlvLength(signedData));
  }
}

const NOTHING = new Uint8Array(0);
const SIGNED_DATA_OID = new Uint8Array(
  new asn1js.ObjectIdentifier({ value: ContentInfo.SIGNED_DATA }).toBER(false),
);

/** encapContentInfo: id-data, eContent absent (RFC 5652 §5.2). */
function detachedContent(): Uint8Array {
  return new Uint8Array(
    new EncapsulatedContentInfo({ eContentType: ContentInfo.DATA }).toSchema().toBER(false),
  );
}

/** IssuerAndSerialNumber (RFC 5652 §10.2.4) with the certificate's own bytes: readers compare names byte by byte. */
function issuerAndSerialNumber(certificate: Uint8Array): Uint8Array {
  const { result } = asn1js.fromBER(Uint8Array.from(certificate).buffer);
  const [tbsCertificate] = sequence(result);
  const fields = sequence(tbsCertificate);
  const hasVersion = fields[0]?.idBlock.tagClass === CONTEXT_SPECIFIC;
  const [serialNumber, , issuer] = hasVersion ? fields.slice(1) : fields;
  if (serialNumber === undefined || issuer === undefined)
    throw new RangeError("Cannot read the certificate's issuer");
  return tlv(TAG.sequence, issuer.valueBeforeDecodeView, serialNumber.valueBeforeDecodeView);
}

const CONTEXT_SPECIFIC = 3;

function sequence(value: asn1js.AsnType | undefined): asn1js.AsnType[] {
  return value instanceof asn1js.Sequence ? value.valueBlock.value : [];
}
