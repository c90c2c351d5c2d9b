import { messageOf } from "../errors.ts";
import { type JsonAttributeObject, Name } from "./x509.ts";

/** What RFC 5280, appendix A, and RFC 4519 say of the values of an attribute type. */
interface AttributeType {
  /** In upper case: those of RFC 4514 §3, and those that OpenSSL and x509 print. */
  readonly keywords: readonly string[];
  readonly oid: string;
  readonly fits: RegExp;
  readonly rule: string;
  readonly isIa5?: true;
}

interface Attribute {
  readonly oid: string;
  readonly value: JsonAttributeObject;
}

const upTo = (length: number): Pick<AttributeType, "fits" | "rule"> => ({
  fits: new RegExp(`^.{1,${length}}$`, "u"),
  rule: `1 to ${length} characters`,
});

const ATTRIBUTE_TYPES: readonly AttributeType[] = [
  { keywords: ["CN"], oid: "2.5.4.3", ...upTo(64) },
  { keywords: ["O"], oid: "2.5.4.10", ...upTo(64) },
  { keywords: ["OU"], oid: "2.5.4.11", ...upTo(64) },
  { keywords: ["L"], oid: "2.5.4.7", ...upTo(128) },
  { keywords: ["ST"], oid: "2.5.4.8", ...upTo(128) },
  { keywords: ["STREET"], oid: "2.5.4.9", ...upTo(128) },
  { keywords: ["T", "TITLE"], oid: "2.5.4.12", ...upTo(64) },
  { keywords: ["SN"], oid: "2.5.4.4", ...upTo(32768) },
  { keywords: ["G", "GN"], oid: "2.5.4.42", ...upTo(32768) },
  { keywords: ["I"], oid: "2.5.4.43", ...upTo(32768) },
  { keywords: ["UID"], oid: "0.9.2342.19200300.100.1.1", ...upTo(256) },
  { keywords: ["C"], oid: "2.5.4.6", fits: /^[A-Z]{2}$/, rule: "the two capital letters of a country" },
  {
    keywords: ["SERIALNUMBER"],
    oid: "2.5.4.5",
    fits: /^[A-Za-z0-9 '()+,\-./:=?]{1,64}$/,
    rule: "1 to 64 letters, digits or any of ' ( ) + , - . / : = ?",
  },
  {
    keywords: ["E", "EMAILADDRESS"],
    oid: "1.2.840.113549.1.9.1",
    fits: /^[!-~]{1,255}$/,
    rule: "1 to 255 ASCII characters",
    isIa5: true,
  },
  {
    keywords: ["DC"],
    oid: "0.9.2342.19200300.100.1.25",
    fits: /^[A-Za-z0-9-]{1,63}$/,
    rule: "1 to 63 letters, digits or hyphens",
    isIa5: true,
  },
];

/** Type, quoted value or plain value, and the separator after it; spaces around them do not count. */
const PART =
  /^\s*([A-Za-z][\w-]*|\d[\d.]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|((?:[^\\",+;<>\s]|\\.|\s+(?=[^\s,+]))*))\s*([,+]|$)/su;
const OID = /^(?:[01]\.[1-3]?\d|2\.(?:0|[1-9]\d{0,8}))(?:\.(?:0|[1-9]\d{0,8}))+$/;
/** Control characters, halves of surrogate pairs, and what stands for bytes that are not UTF-8. */
const UNPRINTABLE = /[\p{Cc}\p{Cs}\ufffd]/u;

/** Whether the text is an object identifier in dotted form. */
export function isObjectIdentifier(text: string): boolean {
  return OID.test(text);
}

/** Says what is wrong with the text of a distinguished name (RFC 4514), or `undefined` if nothing is. */
export function distinguishedNameFault(text: string): string | undefined {
  try {
    parseDistinguishedName(text);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

/**
 * Reads a distinguished name (RFC 4514 §2.1): the text begins with the most specific part, the encoding with
 * the most general one, as RFC 4514 has it and as readers show it again. x509 reads such texts too, but passes over
 * what it does not understand: half a company's name is gone after its first comma.
 *
 * @throws RangeError that says what is wrong
 */
export function parseDistinguishedName(text: string): Name {
  const parts: Attribute[][] = [];
  let rest = text;
  let separator = ",";
  while (separator !== "") {
    const [match, type = "", quoted, plain = "", next = ""] = PART.exec(rest) ?? [];
    if (match === undefined) throw notAPart(rest.trim());
    const attribute = readAttribute(type, quoted, plain);
    if (separator === "+") parts.at(-1)?.push(attribute);
    else parts.push([attribute]);
    rest = rest.slice(match.length);
    separator = next;
  }
  return new Name(parts.toReversed().map(relativeName));
}

function notAPart(text: string): RangeError {
  if (text === "") return new RangeError("one of its parts is missing");
  return new RangeError(
    `"${text}" does not read TYPE=value, with a \\ before any of , + " \\ ; < > in the value`,
  );
}

function readAttribute(type: string, quoted: string | undefined, plain: string): Attribute {
  const row = ATTRIBUTE_TYPES.find(
    ({ keywords, oid }) => oid === type || keywords.includes(type.toUpperCase()),
  );
  if (row === undefined && !isObjectIdentifier(type))
    throw new RangeError(`"${type}" is not a type of attribute`);
  if (quoted === undefined && plain.startsWith("#")) {
    throw new RangeError(`the value of ${type} is in hexadecimal; a # that is meant is written \\#`);
  }
  const value = unescaped(quoted ?? plain);
  if (UNPRINTABLE.test(value)) throw new RangeError(`the value of ${type} holds an unprintable character`);
  const { fits, rule } = row ?? upTo(32768);
  if (!fits.test(value)) throw new RangeError(`the value of ${type} must be ${rule}`);
  return { oid: row?.oid ?? type, value: stringValue(value, row?.isIa5) };
}

/** A backslash and a special character, or backslashes and the octets of UTF-8 (RFC 4514 §2.4). */
function unescaped(text: string): string {
  const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  return text.replace(/((?:\\[\da-f]{2})+)|\\(.)/gisu, (match, octets?: string, character = "") => {
    if (octets !== undefined) return utf8.decode(Buffer.from(octets.replaceAll("\\", ""), "hex"));
    if (!/[ "#+,;<=>\\]/.test(character)) throw new RangeError(`"${match}" does not stand for a character`);
    return character;
  });
}

function stringValue(text: string, isIa5 = false): JsonAttributeObject {
  if (isIa5) return { ia5String: text };
  return Name.isPrintableString(text) ? { printableString: text } : { utf8String: text };
}

/** One part; several attributes are a SET OF, which DER wants sorted (X.690 §11.6), and x509 does not sort. */
function relativeName(attributes: readonly Attribute[]): Record<string, JsonAttributeObject[]> {
  const encoded = attributes.map(({ oid, value }) => {
    const der = Buffer.from(new Name([{ [oid]: [value] }]).toArrayBuffer());
    return { oid, value, der };
  });
  const sorted = encoded.toSorted((a, b) => Buffer.compare(a.der, b.der));
  const name = Object.fromEntries(sorted.map(({ oid, value }) => [oid, [value]]));
  if (Object.keys(name).length < sorted.length) throw new RangeError("one part holds a type twice");
  return name;
}
