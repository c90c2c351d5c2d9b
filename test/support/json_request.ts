import type { SeededRandom } from "./seeded_random.ts";

const SPACES = ["", "", "", " ", "\n", "\t\r\n", "    "] as const;
const SHORT_ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "/": "\\/",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
};
/** Names and texts that a careless reader takes for something else. */
const TRAPS = [
  "encodedContents",
  "hash",
  '"encodedContents":"QUJD"',
  "\\",
  '\\"',
  "{[",
  "]}",
  "",
  "\u00e4\u{1f600}\u2028",
  "\ud800",
  "a/b",
] as const;

/** A valid sign request, written as no serializer would. */
export interface JsonRequest {
  readonly text: Buffer;
  /** Absent where the request has no document. */
  readonly document?: Buffer;
  readonly hash?: string;
}

export function randomJsonRequest(random: SeededRandom): JsonRequest {
  const document = random.isLucky(0.85) ? random.bytes(random.below(random.pick([4, 40, 400]))) : undefined;
  const hash = random.isLucky(0.6) ? random.bytes(32).toString("hex") : undefined;
  const names = new Set(["encodedContents", "hash"]);
  const members = [
    ...(document ? [member(random, "encodedContents", quoted(random, document.toString("base64")))] : []),
    ...(hash === undefined ? [] : [member(random, "hash", quoted(random, hash))]),
  ];
  for (let count = random.below(4); count > 0; count -= 1) {
    const name = `${random.pick(TRAPS)}${random.pick(["", "2", "\u0000"])}`;
    if (!names.has(name)) members.push(member(random, name, anyValue(random, 4)));
    names.add(name);
  }
  const inner = random.shuffled(members).join(",");
  const text = Buffer.from(`${space(random)}{${inner}${inner === "" ? space(random) : ""}}${space(random)}`);
  return { text, ...(document ? { document } : {}), ...(hash === undefined ? {} : { hash }) };
}

function space(random: SeededRandom): string {
  return random.pick(SPACES);
}

function member(random: SeededRandom, name: string, value: string): string {
  return `${space(random)}${quoted(random, name)}${space(random)}:${space(random)}${value}${space(random)}`;
}

/** A JSON string in one of its many spellings. */
function quoted(random: SeededRandom, text: string): string {
  const eagerness = random.pick([0, 0, 0.05, 1]);
  let spelled = "";
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    const letter = text.charAt(index);
    const short = SHORT_ESCAPES[letter];
    const mustEscape = unit < 0x20 || letter === '"' || letter === "\\" || (unit >= 0xd800 && unit <= 0xdfff);
    if (!mustEscape && !random.isLucky(eagerness)) spelled += letter;
    else if (short !== undefined && random.isLucky(0.5)) spelled += short;
    else spelled += `\\u${hex(random, unit)}`;
  }
  return `"${spelled}"`;
}

function hex(random: SeededRandom, unit: number): string {
  const digits = unit.toString(16).padStart(4, "0");
  return random.isLucky(0.5) ? digits : digits.toUpperCase();
}

function anyValue(random: SeededRandom, depth: number): string {
  const kind = random.below(depth > 0 ? 4 : 2);
  if (kind === 0)
    return random.pick(["null", "true", "false", "0", "-1.5e+300", "1E9999", "12345678901234567890"]);
  if (kind === 1) return quoted(random, random.pick(TRAPS));
  const count = random.below(3);
  const values = Array.from({ length: count }, () => anyValue(random, depth - 1));
  if (kind === 2) return `[${values.map((value) => space(random) + value).join(",")}${space(random)}]`;
  // Nested names may be the same: JSON.parse takes that, and nobody looks there.
  return `{${values.map((value) => member(random, random.pick(TRAPS), value)).join(",")}}`;
}
