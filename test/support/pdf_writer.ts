import { deflateSync } from "node:zlib";

/** An indirect object: its number, its value as it is written, and what else is to be said of it. */
export interface WrittenObject {
  readonly number: number;
  readonly value: string | Buffer;
  readonly generation?: number;
  /** Puts it into an object stream, where the form of the file has one. */
  readonly isHidden?: boolean;
}

export interface PdfShape {
  readonly objects: readonly WrittenObject[];
  /** Entries of the trailer besides /Size and /Prev. */
  readonly trailer?: string;
  readonly form?: "table" | "stream" | "hybrid";
  /** Between lines of the table. */
  readonly lineEnd?: "\r\n" | " \n" | "\n";
  /** Object numbers that are free from now on. */
  readonly free?: readonly number[];
}

/** The four objects of a page that says nothing; the catalog is 1, the page 3. */
export function onePage(catalog = "", page = ""): WrittenObject[] {
  return [
    { number: 1, value: `<< /Type /Catalog /Pages 2 0 R ${catalog} >>` },
    { number: 2, value: "<< /Type /Pages /Kids [3 0 R] /Count 1 >>" },
    { number: 3, value: `<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 300] ${page} >>` },
  ];
}

/** A PDF written by the tests' own hand, object by object; with `former`, an update of that one. */
export function writePdf(shape: PdfShape, former?: Buffer): Buffer<ArrayBuffer> {
  return new Writer(shape, former).write();
}

class Writer {
  readonly #shape: PdfShape;
  readonly #former: Buffer | undefined;
  readonly #parts: Buffer[] = [];
  readonly #places = new Map<number, Place>();
  #length = 0;

  constructor(shape: PdfShape, former: Buffer | undefined) {
    this.#shape = shape;
    this.#former = former;
  }

  write(): Buffer<ArrayBuffer> {
    const { objects, form = "table", free = [] } = this.#shape;
    this.#put(this.#former ?? "%PDF-1.7\n%\xe2\xe3\xcf\xd3\n");
    for (const number of free) this.#places.set(number, FREE);
    const hidden = form === "table" ? [] : objects.filter(({ isHidden }) => isHidden);
    for (const object of objects) if (!hidden.includes(object)) this.#putObject(object);
    if (hidden.length > 0) {
      const container = this.#highest + 1;
      this.#putObject({ number: container, value: objectStream(hidden) });
      for (const [index, { number }] of hidden.entries()) this.#places.set(number, { container, index });
    }
    const start = form === "stream" ? this.#putStream(this.#places) : this.#putTable(form === "hybrid");
    this.#put(`startxref\n${start}\n%%EOF\n`);
    return Buffer.concat(this.#parts);
  }

  #put(content: string | Buffer): void {
    const part = typeof content === "string" ? Buffer.from(content, "latin1") : content;
    this.#parts.push(part);
    this.#length += part.length;
  }

  #putObject({ number, value, generation = 0 }: WrittenObject): void {
    this.#places.set(number, { offset: this.#length, generation });
    this.#put(`${number} ${generation} obj\n`);
    this.#put(value);
    this.#put("\nendobj\n");
  }

  #putStream(places: ReadonlyMap<number, Place>): number {
    const start = this.#length;
    const number = this.#highest + 2;
    const rows = new Map(places).set(number, { offset: start });
    this.#put(`${number} 0 obj\n`);
    this.#put(xrefStream(rows, this.#trailer));
    this.#put("\nendobj\n");
    return start;
  }

  #putTable(isHybrid: boolean): number {
    const inContainer = [...this.#places].filter(([, { container }]) => container !== undefined);
    const extra = isHybrid ? ` /XRefStm ${this.#putStream(new Map(inContainer))}` : "";
    const start = this.#length;
    const rows = new Map([
      ...this.#places,
      ...inContainer.map(([number]): [number, Place] => [number, FREE]),
    ]);
    if (this.#former === undefined) rows.set(0, FREE);
    this.#put(table(rows, this.#shape.lineEnd ?? " \n"));
    this.#put(`trailer\n<< ${this.#trailer}${extra} >>\n`);
    return start;
  }

  get #trailer(): string {
    const { trailer = "/Root 1 0 R" } = this.#shape;
    const [, start] = /startxref\s+(\d+)\s+%%EOF\s*$/.exec(this.#formerText) ?? [];
    return `/Size ${this.#highest + 3} ${trailer}${start === undefined ? "" : ` /Prev ${start}`}`;
  }

  /** The highest number of an object, but for the streams that hold others and the cross references. */
  get #highest(): number {
    const { objects, free = [] } = this.#shape;
    const sizes = [...this.#formerText.matchAll(/\/Size (\d+)/g)].map(([, size]) => Number(size) - 1);
    let highest = 0;
    for (const number of [...objects.map(({ number }) => number), ...free, ...sizes])
      highest = Math.max(highest, number);
    return highest;
  }

  get #formerText(): string {
    return this.#former?.toString("latin1") ?? "";
  }
}

interface Place {
  readonly offset?: number;
  readonly generation?: number;
  readonly container?: number;
  readonly index?: number;
  readonly free?: true;
}

const FREE: Place = { free: true, generation: 65535 };

function objectStream(objects: readonly WrittenObject[]): Buffer {
  let body = "";
  const head = objects.map(({ number, value }) => {
    const pair = `${number} ${body.length}`;
    body += `${value} `;
    return pair;
  });
  const first = `${head.join(" ")} `;
  return stream(
    `/Type /ObjStm /N ${objects.length} /First ${first.length} /Filter [/FlateDecode]`,
    deflateSync(Buffer.from(first + body, "latin1")),
  );
}

function xrefStream(places: ReadonlyMap<number, Place>, trailer: string): Buffer {
  const rows = [...places].sort(([one], [other]) => one - other);
  const data = Buffer.concat(
    rows.map(([, { offset, generation = 0, container = 0, index = 0, free }]) => {
      const row = Buffer.alloc(7);
      if (free) row.set([0, 0, 0, 0, 0, 255, 255]);
      else if (offset === undefined) row.set([2, ...big(container, 4), ...big(index, 2)]);
      else row.set([1, ...big(offset, 4), ...big(generation, 2)]);
      return row;
    }),
  );
  const index = rows.map(([number]) => `${number} 1`).join(" ");
  const entries = `/Type /XRef /W [1 4 2] /Index [${index}] ${trailer} /Filter /FlateDecode`;
  return stream(entries, deflateSync(data));
}

function stream(entries: string, data: Buffer): Buffer {
  return Buffer.concat([
    Buffer.from(`<< ${entries} /Length ${data.length} >>\nstream\r\n`, "latin1"),
    data,
    Buffer.from("\nendstream", "latin1"),
  ]);
}

function table(places: ReadonlyMap<number, Place>, lineEnd: string): string {
  const rows = [...places].sort(([one], [other]) => one - other);
  const lines = rows.map(([number, { offset = 0, generation = 0, free }]) => {
    const entry = `${String(offset).padStart(10, "0")} ${String(generation).padStart(5, "0")} ${free ? "f" : "n"}`;
    return `${number} 1\n${entry}${lineEnd}`;
  });
  return `xref\n${lines.join("")}`;
}

function big(value: number, length: number): number[] {
  return Array.from({ length }, (_, index) => Math.floor(value / 256 ** (length - 1 - index)) % 256);
}
