import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { NO_HASH, parseRecord, recordAfter } from "../../lib/audit/record.ts";

const TIME = new Date("2033-05-18T03:33:20.000Z");
const TRAIL = "5685323a-7da4-4562-8563-b015c4ade1d4";
const BEGINNING = { trail: TRAIL, n: 0, hash: NO_HASH };

const begin = recordAfter(BEGINNING, TIME, { type: "begin", trail: TRAIL });
const signature = recordAfter(begin.position, TIME, {
  type: "signature",
  request: "r",
  credential: "invoices",
  hash: "SHA-256",
  digest: "00ff",
  certificate: "0a",
  signedData: "ab".repeat(32),
});

test("a record is one line of JSON whose hash is that of all its bytes, as sha256sum has it", () => {
  assert.equal(
    begin.line.toString(),
    `{"prev":"${NO_HASH}","n":1,"time":"2033-05-18T03:33:20.000Z","type":"begin","trail":"${TRAIL}"}\n`,
  );
  assert.equal(begin.position.hash, createHash("sha256").update(begin.line).digest("hex"));
  assert.equal(parseRecord(signature.line).prev, begin.position.hash);
  assert.equal(parseRecord(signature.line).n, 2);
});

test("a name with line ends and quotes in it stays one line", () => {
  const { line } = recordAfter(begin.position, TIME, {
    type: "signature",
    request: "r",
    caller: 'a"\n\u2028\ud800{}',
    credential: "c",
    hash: "SHA-256",
    digest: "00",
    certificate: "00",
    signedData: NO_HASH,
  });
  assert.equal(line.indexOf("\n"), line.length - 1);
  const record = parseRecord(line);
  assert.ok(record.type === "signature");
  assert.equal(record.caller, 'a"\n\u2028\ud800{}');
});

const TEXT = signature.line.toString();

for (const [what, text, reason] of [
  ["no JSON", "garbage\n", /not JSON/],
  ["nothing", "\n", /not JSON/],
  ["zero bytes, as a file system leaves them", "\0\0\0\n", /not JSON/],
  ["another value", "[]\n", /no record/],
  ["no type that there is", TEXT.replace('"signature"', '"constructor"'), /no record/],
  ["a member too few", TEXT.replace('"digest":"00ff",', ""), /members of a signature record/],
  ["a member too many", TEXT.replace('"n":2', '"n":2,"m":2'), /members/],
  ["members in another order", TEXT.replace(/("prev":"\w+"),("n":2)/, "$2,$1"), /members/],
  ["a member twice", TEXT.replace('"n":2', '"n":1,"n":2'), /form/],
  ["a value of another kind", TEXT.replace('"n":2', '"n":"2"'), /members/],
  ["a number in another form", TEXT.replace('"n":2', '"n":2.0'), /form/],
  ["no number that there is", TEXT.replace('"n":2', '"n":0'), /members/],
  ["a date that is none", TEXT.replace("05-18", "02-30"), /members/],
  ["a date in another form", TEXT.replace(".000Z", "Z"), /members/],
  ["digits in capitals", TEXT.replace("00ff", "00FF"), /members/],
  ["white space", TEXT.replace('"n":2', '"n": 2'), /form/],
  ["an escape that need not be", TEXT.replace('"r"', '"\\u0072"'), /form/],
  ["a carriage return", TEXT.replace("\n", "\r\n"), /form/],
  ["something behind it", TEXT.replace("\n", " \n"), /form/],
] as const) {
  test(`a line with ${what} is refused`, () => {
    assert.throws(() => parseRecord(Buffer.from(text)), reason);
  });
}

test("bytes that are no UTF-8 are refused, though what they are read as would do", () => {
  const line = Buffer.from(TEXT.replace('"r"', '"?"'));
  line[line.indexOf("?")] = 0xff;
  assert.throws(() => parseRecord(line), /form/);
});
