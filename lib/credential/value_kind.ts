import { type BerValue, berChildren } from "./ber.ts";

/** What a value in a file of certificates may turn out to be. */
export type ValueKind =
  | "certificate"
  | "PKCS#7"
  | "CRL"
  | "private key"
  | "PKCS#12"
  | "certificate request"
  | "unknown";

/** The tags of what stands in a value, and of what stands in the first of them. */
interface Shape {
  readonly kind: ValueKind;
  readonly outer: RegExp;
  readonly inner?: RegExp;
}

const SHAPES: readonly Shape[] = [
  { kind: "certificate", outer: /^30 30 03$/, inner: /^(a0 )?02 30 30 30 30 30/ }, // RFC 5280 §4.1
  { kind: "certificate request", outer: /^30 30 03$/, inner: /^02 30 30( a0)?$/ }, // RFC 2986 §4
  { kind: "CRL", outer: /^30 30 03$/, inner: /^(02 )?30 30 1[78]/ }, // RFC 5280 §5.1
  { kind: "PKCS#7", outer: /^06 a0$/ }, // ContentInfo, RFC 5652 §3
  { kind: "private key", outer: /^02 30 04/ }, // RFC 5958 §2
  { kind: "private key", outer: /^30 04$/, inner: /^06 30$/ }, // encrypted, RFC 5958 §3
  { kind: "private key", outer: /^02( 02){5,}$/ }, // RSA, RFC 8017 §A.1.2; DSA
  { kind: "private key", outer: /^02 04/ }, // EC, RFC 5915 §3
  { kind: "PKCS#12", outer: /^02 30( 30)?$/ }, // RFC 7292 §4
];

const SEQUENCE = 0x30;

/** Tells by its outline what a value is; that it is a good one, others say. */
export function valueKind(value: BerValue): ValueKind {
  if (value.tag !== SEQUENCE) return "unknown";
  const children = berChildren(value);
  const [outer, inner] = [tags(children), tags(berChildren(children[0]))];
  return (
    SHAPES.find((shape) => shape.outer.test(outer) && (shape.inner?.test(inner) ?? true))?.kind ?? "unknown"
  );
}

function tags(values: readonly BerValue[]): string {
  return values.map(({ tag }) => tag.toString(16).padStart(2, "0")).join(" ");
}
