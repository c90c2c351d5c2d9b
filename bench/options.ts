import { parseArgs } from "node:util";

/** What `npm run bench` is told. */
export interface Options {
  /** Names of the sections to run; all of them where none is named. */
  readonly only: readonly string[];
  readonly rounds: number;
  readonly measureMs: number;
  readonly warmUpMs: number;
  /** Of the long run. */
  readonly signatures: number;
  /** Another Node to measure the start with. */
  readonly otherNode: string | undefined;
  /** Settings of the service that are not the bench's. */
  readonly settings: Readonly<Record<string, string>>;
  /** Write a CPU profile, and nothing else. */
  readonly profile: boolean;
  /** Everything, in the length that its figures are quoted from. */
  readonly isWhole: boolean;
  /** What was typed, without paths of this machine. */
  readonly command: string;
}

const WHOLE = { rounds: 5, seconds: 2, signatures: 1_000_000 };
const QUICK_SIGNATURES = 20_000;
const WARM_UP_MS = 500;

/** @throws TypeError for an unknown option */
export function readOptions(given: readonly string[], sections: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...given],
    options: {
      only: { type: "string", default: "" },
      rounds: { type: "string" },
      seconds: { type: "string" },
      signatures: { type: "string" },
      node: { type: "string" },
      set: { type: "string", multiple: true, default: [] },
      profile: { type: "boolean", default: false },
    },
  });
  const { node: otherNode, profile, rounds, seconds, signatures } = values;
  const only = values.only.split(",").filter((name) => name !== "");
  const unknown = only.filter((name) => !sections.includes(name));
  if (unknown.length > 0)
    throw new TypeError(`--only takes ${sections.join(", ")}, not ${unknown.join(", ")}`);
  const isShortened = [rounds, seconds, signatures].some((value) => value !== undefined);
  const isWhole = !profile && only.length === 0 && !isShortened && values.set.length === 0;
  const shown = given.map((argument) => (argument.includes("/") ? "…" : argument));
  return {
    only,
    rounds: Number(rounds ?? WHOLE.rounds),
    measureMs: Number(seconds ?? WHOLE.seconds) * 1_000,
    warmUpMs: WARM_UP_MS,
    signatures: Number(signatures ?? (isWhole ? WHOLE.signatures : QUICK_SIGNATURES)),
    otherNode,
    settings: Object.fromEntries(values.set.map(settingOf)),
    profile,
    isWhole,
    command: ["npm run bench", ...(shown.length > 0 ? ["--", ...shown] : [])].join(" "),
  };
}

function settingOf(text: string): readonly [name: string, value: string] {
  const at = text.indexOf("=");
  if (at < 1) throw new TypeError(`--set takes NAME=value, not ${text}`);
  return [text.slice(0, at), text.slice(at + 1)];
}
