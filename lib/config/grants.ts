/** What somebody may do who shows what a line of a file names. */
export interface Grant {
  /** Of whoever shows it; one line each. */
  readonly name: string;
  /** What has to be shown. */
  readonly key: string;
  /** Labels, or `*` alone for all; none for the default credential. */
  readonly credentials: readonly string[];
  /** In milliseconds since 1970; `undefined` for never. */
  readonly expires: number | undefined;
}

/** The member of a line that says what has to be shown. */
export interface GrantKey {
  readonly member: string;
  readonly pattern: RegExp;
  /** What it must be, in words. */
  readonly description: string;
}

/** What a file of grants says. */
export interface Grants {
  readonly grants: readonly Grant[];
  /** A sentence for each line that is wrong; none shows a value, which may be a token in the wrong place. */
  readonly mistakes: readonly string[];
}

/** Of bearer tokens. */
export const TOKEN_HASH: GrantKey = {
  member: "sha256",
  pattern: /^[\da-f]{64}$/,
  description: "the SHA-256 of the token in 64 lower-case hexadecimal digits",
};

/** Of client certificates. */
export const CERTIFICATE_NAME: GrantKey = {
  member: "certificate",
  pattern: /^(CN|DNS|URI|email):[\x21-\x7e][\x20-\x7e]{0,254}$/,
  description: "what the certificate names, as in DNS:billing.example.com (or CN:, URI:, email:)",
};

export const GRANT_NAME: RegExp = /^[\w.@+-]{1,100}$/;
const LABEL = /^[\w.@+ -]{1,100}$/;
const DATE = /^(\d{4}-\d\d-\d\d)(T\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d))?$/;

/**
 * Reads a file of grants: one JSON object a line, so that a person can add, comment out and take away a line;
 * empty lines and those that begin with `#` are passed over. A line that could be read in two ways is a mistake.
 *
 * @param file its name, for the mistakes
 */
export function parseGrants(text: string, file: string, key: GrantKey): Grants {
  const former: FormerGrants = { names: new Set(), owners: new Map() };
  const grants: Grant[] = [];
  const mistakes: string[] = [];
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    const read = readGrant(line, key);
    const fault = typeof read === "string" ? read : doubleOf(read, former, key);
    if (fault !== undefined) mistakes.push(`${file}, line ${index + 1}, ${fault}.`);
    else if (typeof read !== "string") {
      grants.push(read);
      former.names.add(read.name);
      former.owners.set(read.key, read.name);
    }
  }
  return { grants, mistakes };
}

/** A moment as an operator writes it: ISO 8601; a date alone is its beginning in UTC. */
export function parseMoment(text: string): number | undefined {
  const [, date = ""] = DATE.exec(text) ?? [];
  const day = new Date(date);
  // Date takes the 31st of February for one in March.
  if (Number.isNaN(day.getTime()) || day.toISOString().slice(0, 10) !== date) return undefined;
  const time = Date.parse(text);
  return Number.isNaN(time) ? undefined : time;
}

/** @returns the grant, or what is wrong with its line */
function readGrant(line: string, key: GrantKey): Grant | string {
  const members = membersOf(line);
  if (members === undefined) return "is not one JSON object";
  const known = ["name", key.member, "credentials", "expires"];
  if (Object.keys(members).some((name) => !known.includes(name))) {
    return `has a member that is none of ${known.join(", ")}`;
  }
  const { name, credentials = [], expires } = members;
  if (typeof name !== "string" || !GRANT_NAME.test(name)) {
    return 'has no name of 1 to 100 letters, digits or any of ". _ - @ +"';
  }
  const shown = members[key.member];
  if (typeof shown !== "string" || !key.pattern.test(shown)) {
    return `has no ${key.member} that is ${key.description}`;
  }
  if (!isListOfLabels(credentials)) return 'has credentials that are not a list of labels, or ["*"]';
  const end = typeof expires === "string" ? parseMoment(expires) : undefined;
  if (expires !== undefined && end === undefined) {
    return "expires at what is not a date such as 2027-01-31 or 2027-01-31T12:00:00Z";
  }
  return Object.freeze({ name, key: shown, credentials: Object.freeze(credentials), expires: end });
}

function membersOf(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    // JSON.parse takes the last of two members with one name; what is inside of them is text alone.
    const names = line.match(/"(?:[^"\\]|\\.)*"\s*:/g) ?? [];
    return names.length === Object.keys(value).length ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function isListOfLabels(value: unknown): value is readonly string[] {
  if (!Array.isArray(value) || new Set(value).size !== value.length) return false;
  if (value.length === 1 && value[0] === "*") return true;
  return value.every((label) => typeof label === "string" && LABEL.test(label));
}

/** What was read before: whoever looked through the grants for each line would take a second for some thousands. */
interface FormerGrants {
  readonly names: Set<string>;
  /** Names, by what has to be shown. */
  readonly owners: Map<string, string>;
}

function doubleOf({ name, key: shown }: Grant, former: FormerGrants, key: GrantKey): string | undefined {
  if (former.names.has(name)) return `names "${name}" a second time`;
  const owner = former.owners.get(shown);
  return owner === undefined ? undefined : `has the ${key.member} of "${owner}"`;
}
