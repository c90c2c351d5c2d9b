import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CERTIFICATE_NAME, parseGrants, parseMoment, TOKEN_HASH } from "../../lib/config/grants.ts";

const HASH = "0123456789abcdef".repeat(4);
const line = (members: Record<string, unknown>): string =>
  JSON.stringify({ name: "billing", sha256: HASH, ...members });
const mistakesOf = (text: string): readonly string[] => parseGrants(text, "tokens", TOKEN_HASH).mistakes;

describe("A file of grants", () => {
  it("has one JSON object a line, and comments.", () => {
    const text = [
      "# Tokens of the accounting department",
      "",
      line({ credentials: ["invoices", "Seal 1"], expires: "2027-01-31T12:00:00Z" }),
      `  ${line({ name: "all", sha256: HASH.replace("0", "1"), credentials: ["*"] })}  `,
      line({ name: "a.b-c_d@e+f", sha256: HASH.replace("0", "2") }),
      `#${line({ name: "gone" })}`,
    ].join("\r\n");
    const { grants, mistakes } = parseGrants(text, "tokens", TOKEN_HASH);
    assert.deepEqual(mistakes, []);
    assert.deepEqual(grants, [
      { name: "billing", key: HASH, credentials: ["invoices", "Seal 1"], expires: 1_801_396_800_000 },
      { name: "all", key: HASH.replace("0", "1"), credentials: ["*"], expires: undefined },
      { name: "a.b-c_d@e+f", key: HASH.replace("0", "2"), credentials: [], expires: undefined },
    ]);
  });

  it("may be empty.", () => {
    for (const text of ["", "\n", "# nobody\n"])
      assert.deepEqual(parseGrants(text, "tokens", TOKEN_HASH), { grants: [], mistakes: [] });
  });

  for (const [what, text, pattern] of [
    ["is no JSON", "billing s3cret", /is not one JSON object/],
    ["breaks off", line({}).slice(0, -1), /is not one JSON object/],
    ["is two objects", line({}) + line({}), /is not one JSON object/],
    ["is an array", "[]", /is not one JSON object/],
    ["is null", "null", /is not one JSON object/],
    ["has a member twice", `{"name":"a",${line({}).slice(1)}`, /is not one JSON object/],
    [
      "has a member that nobody knows",
      line({ expire: "2027-01-31" }),
      /a member that is none of name, sha256/,
    ],
    ["has the member of another file", line({ certificate: "CN:x" }), /a member that is none of/],
    ["has no name", JSON.stringify({ sha256: HASH }), /has no name/],
    ["has a name with a space", line({ name: "a b" }), /has no name/],
    ["has a name that is too long", line({ name: "a".repeat(101) }), /has no name/],
    ["has a name with a line feed at its end", line({ name: "a\n" }), /has no name/],
    ["has a number for a name", line({ name: 1 }), /has no name/],
    ["has no hash", JSON.stringify({ name: "a" }), /has no sha256/],
    ["has the token itself", line({ sha256: "hsms_s3cret" }), /has no sha256 that is the SHA-256/],
    ["has a hash in capitals", line({ sha256: HASH.toUpperCase() }), /has no sha256/],
    ["has a hash of another length", line({ sha256: HASH.slice(2) }), /has no sha256/],
    ["has a word for credentials", line({ credentials: "invoices" }), /credentials that are not a list/],
    ["has a number among credentials", line({ credentials: ["a", 1] }), /credentials that are not a list/],
    ["has all credentials and another", line({ credentials: ["*", "a"] }), /credentials that are not a list/],
    ["has a credential twice", line({ credentials: ["a", "a"] }), /credentials that are not a list/],
    ["has a path for a credential", line({ credentials: ["../a"] }), /credentials that are not a list/],
    ["ends on no date", line({ expires: "tomorrow" }), /expires at what is not a date/],
    ["ends on a day that is none", line({ expires: "2027-02-30" }), /expires at what is not a date/],
    ["ends at a time without a zone", line({ expires: "2027-01-31T12:00:00" }), /expires at what is not/],
    ["ends at a number", line({ expires: 1_801_396_800 }), /expires at what is not a date/],
    ["ends at null", line({ expires: null }), /expires at what is not a date/],
  ] as const) {
    it(`is wrong where a line ${what}, and the mistake shows no value.`, () => {
      const mistakes = mistakesOf(`# comment\n${text}\n`);
      assert.equal(mistakes.length, 1, mistakes.join("\n"));
      assert.match(mistakes[0] ?? "", /^tokens, line 2, .*\.$/);
      assert.match(mistakes[0] ?? "", pattern);
      assert.doesNotMatch(mistakes.join(), /s3cret|012345/i);
    });
  }

  it("names nobody twice, and no token.", () => {
    const other = HASH.replace("0", "1");
    assert.deepEqual(mistakesOf([line({}), line({ sha256: other }), line({ name: "b" })].join("\n")), [
      'tokens, line 2, names "billing" a second time.',
      'tokens, line 3, has the sha256 of "billing".',
    ]);
  });

  it("may name many.", () => {
    const lines = (count: number): string =>
      Array.from({ length: count }, (_, index) =>
        line({ name: `n${index}`, sha256: index.toString(16).padStart(64, "0") }),
      ).join("\n");
    const msOf = (text: string): number => {
      const start = performance.now();
      assert.deepEqual(mistakesOf(text), []);
      return performance.now() - start;
    };
    const [few, many] = [lines(1_000), lines(16_000)];
    msOf(few);
    const ratio = Math.min(...[1, 2, 3].map(() => msOf(many) / msOf(few)));
    assert.ok(ratio < 80, `16 times as many lines take ${ratio} times as long`);
  });

  it("names all its mistakes.", () => {
    assert.equal(mistakesOf(["x", line({}), "y", line({ name: "" })].join("\n")).length, 3);
  });

  it("may be one of certificates, each by the kind of its name.", () => {
    const certificate = (name: string): readonly string[] =>
      parseGrants(JSON.stringify({ name: "a", certificate: name }), "names", CERTIFICATE_NAME).mistakes;
    for (const name of ["CN:Billing Service", "DNS:billing.example.com", "URI:spiffe://a/b", "email:a@b.c"])
      assert.deepEqual(certificate(name), [], name);
    for (const name of ["billing", "CN=billing", "CN: x", "IP:10.0.0.1", "CN:", "dns:a", "CN:a\u0000b", "*"])
      assert.equal(certificate(name).length, 1, name);
  });
});

describe("A moment", () => {
  it("is a date or a time with its zone.", () => {
    for (const [text, time] of [
      ["2027-01-31", "2027-01-31T00:00:00.000Z"],
      ["2028-02-29", "2028-02-29T00:00:00.000Z"],
      ["2027-01-31T12:30Z", "2027-01-31T12:30:00.000Z"],
      ["2027-01-31T12:30:05.5+02:00", "2027-01-31T10:30:05.500Z"],
    ] as const) {
      assert.equal(new Date(parseMoment(text) ?? 0).toISOString(), time);
    }
    for (const text of ["", "2027", "2027-13-01", "2027-02-29", "2027-1-1", "2027-01-31T25:00Z", "31.1.2027"])
      assert.equal(parseMoment(text), undefined, text);
  });
});
