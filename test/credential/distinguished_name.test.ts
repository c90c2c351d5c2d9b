import assert from "node:assert/strict";
import { test } from "node:test";
import { distinguishedNameFault, parseDistinguishedName } from "../../lib/credential/distinguished_name.ts";

/** The parts of the name as they are read back from its DER, whose order is the other way round. */
function partsOf(text: string): Record<string, string[]>[] {
  return parseDistinguishedName(text).toJSON().toReversed();
}

for (const [text, parts] of [
  ["CN=Example", [{ CN: ["Example"] }]],
  ["CN=Example Ltd, OU=A, O=B, C=DE", [{ CN: ["Example Ltd"] }, { OU: ["A"] }, { O: ["B"] }, { C: ["DE"] }]],
  ["CN=a,O=b", [{ CN: ["a"] }, { O: ["b"] }]],
  ["OU=a, OU=b", [{ OU: ["a"] }, { OU: ["b"] }]],
  // Spaces around what separates are nobody's; those that OpenSSL prints, too.
  ["  CN = a b  ,  O = c  ", [{ CN: ["a b"] }, { O: ["c"] }]],
  ["CN=\\ a\\ , O=b", [{ CN: [" a "] }, { O: ["b"] }]],
  ["CN=a  b", [{ CN: ["a  b"] }]],
  // Keywords in any case, OpenSSL's beside RFC 4514's, and numbers.
  ["cn=a, o=b", [{ CN: ["a"] }, { O: ["b"] }]],
  ["emailAddress=a@example.com", [{ E: ["a@example.com"] }]],
  [
    "serialNumber=12-3, title=Dr, GN=Ann, SN=Onym, street=Way 1, UID=ao",
    [
      { "2.5.4.5": ["12-3"] },
      { T: ["Dr"] },
      { G: ["Ann"] },
      { SN: ["Onym"] },
      { "2.5.4.9": ["Way 1"] },
      { "0.9.2342.19200300.100.1.1": ["ao"] },
    ],
  ],
  ["2.5.4.3=by number", [{ CN: ["by number"] }]],
  ["2.5.4.97=VATDE-123456789", [{ "2.5.4.97": ["VATDE-123456789"] }]],
  [
    "1.2.3=x, 2.999.1=y, 1.3.6.1.4.1.99999.1=z",
    [{ "1.2.3": ["x"] }, { "2.999.1": ["y"] }, { "1.3.6.1.4.1.99999.1": ["z"] }],
  ],
  // Everything that can be escaped, both ways, and in quotes.
  ["CN=Example\\, Inc.", [{ CN: ["Example, Inc."] }]],
  ['CN="Example, Inc.", O=c', [{ CN: ["Example, Inc."] }, { O: ["c"] }]],
  ['CN="a \\"b\\" \\\\", O=c', [{ CN: ['a "b" \\'] }, { O: ["c"] }]],
  ["CN=a\\\\, O=b", [{ CN: ["a\\"] }, { O: ["b"] }]],
  ['CN=\\,\\+\\"\\\\\\;\\<\\>\\=\\#', [{ CN: [',+"\\;<>=#'] }]],
  ["CN=\\#1", [{ CN: ["#1"] }]],
  ["CN=a#b", [{ CN: ["a#b"] }]],
  ["CN=a=b", [{ CN: ["a=b"] }]],
  ["CN=Gr\\C3\\BC\\C3\\9Fe\\2C \\f0\\9f\\94\\8f", [{ CN: ["Grüße, 🔏"] }]],
  ["CN=M\\C3\\BCller\\+S\\6fhne", [{ CN: ["Müller+Sohne"] }]],
  ["CN=Müller & Söhne (日本)", [{ CN: ["Müller & Söhne (日本)"] }]],
  [`CN=${"ü".repeat(64)}`, [{ CN: ["ü".repeat(64)] }]],
  ["DC=example, DC=com", [{ DC: ["example"] }, { DC: ["com"] }]],
] as const) {
  test(`a distinguished name is read as it is meant: ${text}`, () => {
    assert.equal(distinguishedNameFault(text), undefined);
    assert.deepEqual(partsOf(text), parts);
  });
}

test("the attributes of one part are sorted as DER wants it, in whichever order they are written", () => {
  const der = (text: string): Buffer => Buffer.from(parseDistinguishedName(text).toArrayBuffer());
  assert.deepEqual(partsOf("O=b+CN=a, C=DE"), [{ CN: ["a"], O: ["b"] }, { C: ["DE"] }]);
  assert.deepEqual(der("O=b+CN=a"), der("CN=a + O=b"));
  assert.deepEqual(der("CN=longer+O=b+OU=cc"), der("OU=cc+O=b+CN=longer"));
});

for (const [text, fault] of [
  ["", /part.* missing/],
  ["   ", /part.* missing/],
  ["CN=a,", /part.* missing/],
  ["CN=a+", /part.* missing/],
  [",CN=a", /",CN=a" does not read TYPE=value/],
  ["CN=a,,O=b", /",O=b" does not read TYPE=value/],
  ["no equals sign", /"no equals sign" does not read TYPE=value/],
  ["Example Ltd, CN=a", /"Example Ltd, CN=a" does not read TYPE=value/],
  ["CN", /"CN" does not read TYPE=value/],
  ["CN=", /value of CN must be 1 to 64 characters/],
  ["CN=a, O=", /value of O must be/],
  ['CN=""', /value of CN must be/],
  ["=a", /does not read TYPE=value/],
  // Half a name would be silently lost here.
  ["CN=Example, Inc., O=c", /"Inc\., O=c" does not read TYPE=value, with a \\ before any of , \+ /],
  ["CN=Max + Moritz", /"Moritz" does not read TYPE=value/],
  ["E=desk+pdf@example.com", /"pdf@example\.com" does not read TYPE=value/],
  ["CN=a;O=b", /does not read TYPE=value/],
  ["CN=a <b@example.com>", /does not read TYPE=value/],
  ["/CN=a/O=b", /does not read TYPE=value/],
  ["CN=a\nO=b", /value of CN holds an unprintable character/],
  // Types.
  ["XX=1", /"XX" is not a type/],
  ["constructor=a", /"constructor" is not a type/],
  ["toString=a", /"toString" is not a type/],
  ["OID.1.2.3=a", /does not read TYPE=value/],
  ["2=a", /"2" is not a type/],
  ["1.2=a", /"1\.2" is not a type/],
  ["1..2=a", /"1\.\.2" is not a type/],
  ["1.2.=a", /"1\.2\." is not a type/],
  ["1.40.3=a", /"1\.40\.3" is not a type/],
  ["3.1.1=a", /"3\.1\.1" is not a type/],
  ["1.2.03=a", /"1\.2\.03" is not a type/],
  ["1.2.99999999999999999999=a", /is not a type/],
  ["CN=a+CN=b", /one part holds a type twice/],
  ["CN=a+O=b+2.5.4.3=c", /one part holds a type twice/],
  // Quotes and escapes.
  ['CN="a', /does not read TYPE=value/],
  ['CN=a"', /does not read TYPE=value/],
  ['CN="a" b', /does not read TYPE=value/],
  ['CN=a "b"', /does not read TYPE=value/],
  ['CN="a\\"', /does not read TYPE=value/],
  ["CN=a\\", /does not read TYPE=value/],
  ["CN=a\\, O=b\\", /does not read TYPE=value/],
  ["CN=a\\zb", /"\\z" does not stand for a character/],
  ["CN=a\\nb", /"\\n" does not stand for a character/],
  ["CN=C:\\dir", /"\\d" does not stand for a character/],
  ["CN=\\C3", /not valid|encoded data/],
  ["CN=\\FF\\FE", /not valid|encoded data/],
  ["CN=#0c0161", /value of CN is in hexadecimal/],
  ["CN=#", /value of CN is in hexadecimal/],
  // Values that a reader would show wrongly, or refuse.
  ["CN=a\\00b", /unprintable/],
  ["CN=a\u0000b", /unprintable/],
  ["CN=a\tb", /unprintable/],
  ["CN=a\ud800b", /unprintable/],
  ["CN=a\ufffdb", /unprintable/],
  [`CN=${"a".repeat(65)}`, /value of CN must be 1 to 64 characters/],
  [`O=${"a".repeat(65)}`, /value of O must be 1 to 64 characters/],
  ["C=Germany", /value of C must be the two capital letters/],
  ["C=de", /value of C must be the two capital letters/],
  ["2.5.4.6=Germany", /value of 2\.5\.4\.6 must be the two capital letters/],
  ["E=ü@example.com", /value of E must be 1 to 255 ASCII/],
  ["E=Ann Onym", /value of E must be 1 to 255 ASCII/],
  ["DC=exämple", /value of DC must be/],
  ["DC=example.com", /value of DC must be/],
  ["serialNumber=№1", /value of serialNumber must be/],
] as const) {
  test(`a text is refused that is no distinguished name, or would come out as another: ${JSON.stringify(text)}`, () => {
    assert.match(distinguishedNameFault(text) ?? "no fault", fault);
    assert.throws(() => parseDistinguishedName(text), fault);
  });
}

test("the longest texts are read or refused at once", () => {
  for (const text of [
    " ".repeat(50_000),
    `CN=${" ".repeat(2_000)}`,
    `CN=${"\\".repeat(50_001)}`,
    "CN=a,".repeat(5_000),
  ]) {
    assert.notEqual(distinguishedNameFault(text), undefined);
  }
});
