import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { addPlaceholder } from "../../dev/demo_page/pdf_placeholder.js";
import { samplePdf } from "../../dev/demo_page/sample_pdf.js";
import { embedSignature, preparePdf, withPlaceholder } from "../../dev/sample_pdf.ts";
import { judgePdf, judgeStructure } from "../support/judges.ts";
import { onePage, type PdfShape, writePdf } from "../support/pdf_writer.ts";
import { SeededRandom } from "../support/seeded_random.ts";
import { softwareSignature } from "../support/software_signature.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const directory = temporaryDirectory();
const SAMPLE = await samplePdf();

type Bytes = Uint8Array<ArrayBuffer>;

/** What qpdf makes of a file. */
function qpdf(file: Uint8Array, ...options: readonly string[]): Bytes {
  const [from, to] = [join(directory, "from.pdf"), join(directory, "to.pdf")];
  writeFileSync(from, file);
  execFileSync("qpdf", [...options, from, to]);
  return new Uint8Array(readFileSync(to));
}

const written = (shape: PdfShape, ...updates: readonly PdfShape[]): Bytes =>
  new Uint8Array(updates.reduce((former, update) => writePdf(update, former), writePdf(shape)));

async function sign(file: Bytes): Promise<Bytes> {
  const prepared = withPlaceholder(file, await addPlaceholder(file));
  return new Uint8Array(embedSignature(prepared, softwareSignature(prepared.signedBytes)));
}

function countOf(text: string, pattern: RegExp): number {
  return text.match(pattern)?.length ?? 0;
}

/** All the judges take the last signature for valid and the file for whole, and the former ones are as they were. */
function assertSigned(signed: Bytes, file: Bytes, count = 1): void {
  assert.deepEqual(signed.subarray(0, file.length), file, "the file itself was changed");
  const { valid, text } = judgePdf(signed);
  assert.ok(valid, text);
  assert.equal(countOf(text, /Signature is Valid\./g), count, text);
  for (const verdict of judgeStructure(signed)) assert.ok(verdict.valid, `${verdict.judge}: ${verdict.text}`);
}

const FORM = "<< /FT /Tx /T (name) /V (x) /Type /Annot /Subtype /Widget /Rect [0 0 10 10] /P 3 0 R >>";
const SHAPES: Readonly<Record<string, () => Bytes | Promise<Bytes>>> = {
  "a table": () => SAMPLE,
  "object streams": () => qpdf(SAMPLE, "--object-streams=generate"),
  "object streams that nobody compressed": () =>
    qpdf(SAMPLE, "--object-streams=generate", "--compress-streams=n"),
  "a linearized table": () => qpdf(SAMPLE, "--linearize", "--object-streams=disable"),
  "linearized object streams": () => qpdf(SAMPLE, "--linearize", "--object-streams=generate"),
  "a table and a stream for what old readers need not see": () =>
    written({
      objects: onePage().map((object) => ({ ...object, isHidden: object.number === 3 })),
      form: "hybrid",
    }),
  "a stream, with an update": () =>
    written(
      { objects: onePage().map((object) => ({ ...object, isHidden: true })), form: "stream" },
      {
        objects: [{ number: 3, value: onePage("", "/Rotate 90")[2]?.value ?? "", isHidden: true }],
        form: "stream",
      },
    ),
  "a table, with an update that is a stream": () =>
    written({ objects: onePage() }, { objects: onePage("", "/Rotate 90").slice(2), form: "stream" }),
  "a table whose lines are too short": () => written({ objects: onePage(), lineEnd: "\n" }),
  "a table with CR and LF": () => written({ objects: onePage(), lineEnd: "\r\n" }),
  "an object that was deleted": () =>
    written(
      { objects: [...onePage("", "/Annots 4 0 R"), { number: 4, value: "[]" }] },
      { objects: onePage("", "/Annots 4 0 R").slice(2), free: [4] },
    ),
  "a page of a later generation": () =>
    written({
      objects: [
        ...onePage().slice(0, 1),
        { number: 2, value: "<< /Type /Pages /Kids [3 2 R] /Count 1 >>" },
        { ...(onePage()[2] ?? { number: 3, value: "" }), generation: 2 },
      ],
    }),
  "pages in a tree, the first branches without any": () =>
    written({
      objects: [
        ...onePage().slice(0, 1),
        { number: 2, value: "<< /Type /Pages /Kids [4 0 R 5 0 R] /Count 1 >>" },
        { number: 3, value: "<< /Type /Page /Parent 6 0 R /MediaBox [0 0 9 9] >>" },
        { number: 4, value: "<< /Type /Pages /Parent 2 0 R /Kids [] /Count 0 >>" },
        { number: 5, value: "<< /Type /Pages /Parent 2 0 R /Kids 7 0 R /Count 1 >>" },
        { number: 6, value: "<< /Type /Pages /Parent 5 0 R /Kids [3 0 R] /Count 1 >>" },
        { number: 7, value: "[6 0 R]" },
      ],
    }),
  "annotations in the page": () =>
    written({
      objects: [
        ...onePage("", "/Annots [4 0 R]"),
        { number: 4, value: "<< /Subtype /Square /Rect [0 0 1 1] >>" },
      ],
    }),
  "annotations beside the page": () =>
    written({ objects: [...onePage("", "/Annots 4 0 R"), { number: 4, value: "[]" }] }),
  "annotations that are null": () => written({ objects: onePage("", "/Annots null") }),
  "a key written another way": () => written({ objects: onePage("", "/Ann#6fts []") }),
  "a form in the catalog": () =>
    written({
      objects: [
        ...onePage("/AcroForm << /Fields [4 0 R] /NeedAppearances true /SigFlags 1 >>", "/Annots [4 0 R]"),
        { number: 4, value: FORM },
      ],
    }),
  "a form beside the catalog": () =>
    written({
      objects: [
        ...onePage("/AcroForm 5 0 R", "/Annots [4 0 R]"),
        { number: 4, value: FORM },
        { number: 5, value: "<< /Fields 6 0 R /SigFlags 7 0 R >>" },
        { number: 6, value: "[4 0 R]" },
        { number: 7, value: "0" },
      ],
    }),
  "a form without fields": () => written({ objects: onePage("/AcroForm << >>") }),
  "fields and annotations in the same array": () =>
    written({
      objects: [
        ...onePage("/AcroForm << /Fields 5 0 R >>", "/Annots 5 0 R"),
        { number: 4, value: FORM },
        { number: 5, value: "[4 0 R]" },
      ],
    }),
  "strings with parentheses and backslashes": () =>
    written({
      objects: [
        ...onePage("", "/Note (a \\) >> (b) \\\\)/Other<3e3E>"),
        { number: 4, value: "<< /Title (x) >>" },
      ],
      trailer: "/Root 1 0 R /Info 4 0 R /ID [(a\\)\\() (b)]",
    }),
  "comments where nobody expects them": () =>
    written({ objects: onePage("% >> endobj\n", "/Annots % ]\r[ % none\n]") }),
  "bytes after its end": () => new Uint8Array(Buffer.concat([SAMPLE, Buffer.alloc(500, "\0\r\n")])),
  "a certification that allows to sign": () => written({ objects: certified(2) }),
};

function certified(permission: number): PdfShape["objects"] {
  return [
    ...onePage("/Perms << /DocMDP 4 0 R >>"),
    { number: 4, value: "<< /Type /Sig /Reference [5 0 R] >>" },
    { number: 5, value: `<< /TransformMethod /DocMDP /TransformParams << /P ${permission} >> >>` },
  ];
}

describe("A placeholder is added to a PDF with", () => {
  for (const [what, make] of Object.entries(SHAPES)) {
    it(`${what}, and the judges find its signature valid`, async () => {
      const file = await make();
      assertSigned(await sign(file), file);
    });
  }

  for (const [what, options] of [
    ["a table", ["--object-streams=disable"]],
    ["object streams", ["--object-streams=generate"]],
  ] as const) {
    it(`${what} and signatures, which stay valid`, async () => {
      const first = await sign(qpdf(SAMPLE, ...options));
      const second = await sign(first);
      const third = await sign(second);
      assertSigned(second, first, 2);
      assertSigned(third, second, 3);
    });
  }
});

it("the field is on the first page and in the form, with flags that say so", async () => {
  const file = new Uint8Array(
    writePdf({ objects: onePage("/AcroForm << /SigFlags 4 >>", "/Annots [9 0 R]") }),
  );
  const text = Buffer.from((await addPlaceholder(file)).update).toString("latin1");
  const [, field] = /(\d+) 0 obj\n<< \/Type \/Annot \/Subtype \/Widget \/FT \/Sig/.exec(text) ?? [];
  assert.match(text, new RegExp(`/Annots \\[9 0 R ${field} 0 R \\]`));
  assert.match(text, new RegExp(`/Fields \\[${field} 0 R\\]`));
  assert.match(text, /\/SigFlags 7/);
  assert.match(text, /\/Rect \[0 0 0 0\] \/P 3 0 R/);
});

it("the identifier of the file stays, that of its version does not", async () => {
  const file = written({ objects: onePage(), trailer: "/Root 1 0 R /ID [<00ff> <00ff>]" });
  const ids: string[] = [];
  for (const now of ["2026-01-01", "2026-01-02"]) {
    const { update } = await addPlaceholder(file, { now: new Date(now) });
    const [, id = ""] = /\/ID \[<00ff> <([\da-f]{32})>\]/.exec(Buffer.from(update).toString("latin1")) ?? [];
    ids.push(id);
  }
  assert.equal(new Set(ids).size, 2, ids.join());
});

const text = (value: string): Bytes => new Uint8Array(Buffer.from(value, "latin1"));
const sampleText = Buffer.from(SAMPLE).toString("latin1");
const withoutRoot: PdfShape = { objects: onePage(), trailer: "" };
const DAMAGED = /^This PDF is damaged: [a-zA-Z0-9 "]+\.$/;

const REFUSED: Readonly<Record<string, readonly [make: () => Bytes, message: RegExp]>> = {
  "no byte at all": [() => text(""), /^This file is not a PDF\.$/],
  "a picture": [() => text("\x89PNG\r\n\x1a\n"), /^This file is not a PDF\.$/],
  "nothing but a beginning": [() => text("%PDF-1.7\n"), DAMAGED],
  "something before the beginning": [() => text(`\r\n\r\n${sampleText}`), DAMAGED],
  "half of it": [() => SAMPLE.subarray(0, SAMPLE.length / 2), DAMAGED],
  "a pointer into nowhere": [
    () => text(sampleText.replace(/startxref\n\d+/, "startxref\n99999999")),
    DAMAGED,
  ],
  "a pointer to something else": [() => text(sampleText.replace(/startxref\n\d+/, "startxref\n20")), DAMAGED],
  "offsets that are wrong": [() => text(sampleText.replace("%PDF-1.7\n", "%PDF-1.7\n\n\n")), DAMAGED],
  "a table that is none": [() => text(sampleText.replace(" 65535 f", " 65535 x")), DAMAGED],
  "cross references in circles": [
    () => text(sampleText.replace("/Info 7 0 R", `/Prev ${/startxref\n(\d+)/.exec(sampleText)?.[1]}`)),
    DAMAGED,
  ],
  "no catalog": [() => written(withoutRoot), DAMAGED],
  "a catalog in the trailer": [
    () => written({ ...withoutRoot, trailer: "/Root << /Pages 2 0 R >>" }),
    DAMAGED,
  ],
  "no pages": [() => text(sampleText.replace("/Kids [3 0 R]", "/Kids []     ")), DAMAGED],
  "pages in circles": [() => text(sampleText.replace("/Kids [3 0 R]", "/Kids [2 0 R]")), DAMAGED],
  "objects in circles": [() => written({ objects: [{ number: 1, value: "1 0 R" }] }), DAMAGED],
  "arrays without an end": [() => written({ objects: onePage("[".repeat(100_000)) }), DAMAGED],
  encryption: [() => qpdf(SAMPLE, "--encrypt", "", "owner", "256", "--"), /encrypted/],
  "encryption and object streams": [
    () => qpdf(SAMPLE, "--object-streams=generate", "--encrypt", "user", "owner", "256", "--"),
    /encrypted/,
  ],
  "an XFA form": [() => written({ objects: onePage("/AcroForm << /XFA [] /Fields [] >>") }), /XFA/],
  "a certification that allows nothing": [() => written({ objects: certified(1) }), /certified/],
  "a form that is a number": [() => written({ objects: onePage("/AcroForm 5") }), DAMAGED],
};

describe("It is refused, with a sentence, to sign a file with", () => {
  for (const [what, [make, message]] of Object.entries(REFUSED)) {
    it(what, async () => {
      await assert.rejects(addPlaceholder(make()), { name: "PdfError", message });
    });
  }
});

it("whatever happens to the bytes of a file, it is signed or refused, and nothing else", async () => {
  const random = new SeededRandom(20_261_201);
  const hybrid = writePdf({
    objects: onePage().map((object) => ({ ...object, isHidden: true })),
    form: "hybrid",
  });
  const seeds = [SAMPLE, qpdf(SAMPLE, "--object-streams=generate"), hybrid] as const;
  let refused = 0;
  for (let round = 0; round < 1_500; round += 1) {
    const bytes = new Uint8Array(random.pick(seeds));
    for (let count = random.below(6); count >= 0; count -= 1) {
      const at = random.below(bytes.length);
      if (random.isLucky(0.5)) bytes[at] = random.below(256);
      else bytes.copyWithin(at, random.below(bytes.length), random.below(bytes.length));
    }
    const file = random.isLucky(0.2) ? bytes.slice(0, random.below(bytes.length)) : bytes;
    try {
      const { update, byteRange } = await addPlaceholder(file);
      assert.equal(byteRange[2] + byteRange[3], file.length + update.length);
    } catch (error) {
      assert.equal((error as Error).name, "PdfError", `round ${round}: ${(error as Error).stack}`);
      refused += 1;
    }
  }
  assert.ok(refused > 200 && refused < 1_400, `${refused} were refused`);
});

it("a file of 20 MB with 100,000 objects is no trouble", async () => {
  const objects = Array.from({ length: 100_000 }, (_, index) => ({
    number: index + 4,
    value: `(${"x".repeat(180)})`,
  }));
  const file = written({ objects: [...onePage(), ...objects] });
  const { update, byteRange } = await addPlaceholder(file);
  assert.equal(byteRange[2] + byteRange[3], file.length + update.length);
});

it("the sample is signed where its page shows it", async () => {
  const { bytes } = await preparePdf();
  assert.match(bytes.toString("latin1"), /\/Rect \[72 505 312 565\] \/P 3 0 R/);
});
