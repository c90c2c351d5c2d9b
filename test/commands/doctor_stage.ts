import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type * as graphene from "graphene-pk11";
import { softHsmModulePath } from "../../dev/softhsm.ts";
import { type SignatureAlgorithm, signatureAlgorithm } from "../../lib/algorithms.ts";
import type { CheckName, Finding, Status } from "../../lib/commands/doctor/finding.ts";
import type * as x509 from "../../lib/credential/x509.ts";
import { openSession, Pkcs11Module } from "../../lib/hsm/module.ts";
import { cloudHsmSimulator, type Simulator } from "../cloudhsm/simulator.ts";
import { type CommandResult, runCommand } from "../support/command.ts";
import { disguiseOver } from "../support/disguise.ts";
import { leafOf, PKI_NOW, pemOf, rootCa, type TestCertificate } from "../support/pki.ts";
import { generateP256 } from "../support/plain_session.ts";
import { softwareCrypto } from "../support/software.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { openTestToken } from "../support/token.ts";

export type Settings = Readonly<Record<string, string>>;

/** Whatever is tried as a PIN holds this; `doctor` fails where it comes out again. */
export const SECRET = "Sesam-4711";

const RSA = signatureAlgorithm("RSA-2048", "SHA-256");
const P256 = signatureAlgorithm("P-256", "SHA-256");
const DAY_MS = 86_400_000;

/**
 * One token, to be seen through several libraries, with the pairs `seal` (RSA-2048), `stamp` (P-256), two with the
 * label `twice`, and `exposed`, which may leave it; and a directory with good chains for the first two.
 */
export interface DoctorStage {
  readonly simulator: Simulator;
  readonly softHsm: Settings;
  /** The settings with which all is well, on each library. */
  readonly onSoftHsm: Settings;
  readonly onSimulator: Settings;
  /** SoftHSM2 that says of itself what `DISGUISE_*` have it say. */
  readonly disguised: Settings;
  readonly certificates: string;
  readonly tokens: string;
  readonly root: TestCertificate;
  /** A certificate of the root for one of the pairs, valid from and until so many days from now. */
  certify(label: string, more?: CertifyOptions): Promise<TestCertificate>;
}

export interface CertifyOptions {
  readonly days?: readonly [from: number, until: number];
  readonly extensions?: readonly x509.Extension[];
}

const scratch = temporaryDirectory();

export async function doctorStage(): Promise<DoctorStage> {
  const simulator = cloudHsmSimulator({ pinTries: 3 });
  const modulePath = softHsmModulePath();
  const SOFTHSM2_CONF = String(simulator.environment["SOFTHSM2_CONF"]);
  changePin(modulePath, simulator.pin.replace(/^.*:/, ""));
  const publicKeys = await makePairs(modulePath);
  makeExposedPair(modulePath, "exposed");

  const root = await rootCa({ days: [realDays(-400), realDays(400)] });
  const certify: DoctorStage["certify"] = (label, { days = [-30, 300], extensions = [] } = {}) => {
    const publicKey = publicKeys.get(label);
    assert.ok(publicKey);
    const keys = { publicKey, privateKey: root.keys.privateKey };
    return leafOf(root, { keys, extensions, days: [realDays(days[0]), realDays(days[1])] });
  };
  const certificates = join(scratch, "certs");
  mkdirSync(certificates);
  for (const label of ["seal", "stamp"]) {
    writeFileSync(join(certificates, `${label}.pem`), pemOf(await certify(label), root));
  }

  const common = {
    HSM_KEY_LABEL: "seal",
    CERT_DIR: certificates,
    PATH: `${toolsSaying({ timedatectl: "yes" })}:${process.env["PATH"]}`,
  };
  const onSoftHsm = { ...common, SOFTHSM2_CONF, HSM_MODULE: modulePath, HSM_PIN: SECRET };
  const disguise = disguiseOver(modulePath);
  return {
    simulator,
    softHsm: { SOFTHSM2_CONF, HSM_MODULE: modulePath },
    onSoftHsm,
    onSimulator: {
      ...common,
      ...simulator.environment,
      HSM_MODULE: simulator.modulePath,
      HSM_PIN: `signer:${SECRET}`,
    },
    disguised: { ...onSoftHsm, ...disguise.environment, HSM_MODULE: disguise.modulePath },
    certificates,
    tokens: join(dirname(SOFTHSM2_CONF), "tokens"),
    root,
    certify,
  };
}

/** A directory with programs that print one line each. */
export function toolsSaying(answers: Settings): string {
  const directory = mkdtempSync(join(scratch, "bin-"));
  for (const [name, answer] of Object.entries(answers)) {
    writeFileSync(join(directory, name), `#!/bin/sh\necho '${answer}'\n`, { mode: 0o755 });
  }
  return directory;
}

/** A CERT_DIR with the chain of one label. */
export function directoryWith(label: string, pem: string): string {
  const directory = mkdtempSync(join(scratch, "certs-"));
  writeFileSync(join(directory, `${label}.pem`), pem);
  return directory;
}

/** SoftHSM2 counts in the first bytes of a file how often it was written, as it is at each login. */
const COUNTER_BYTES = 8;

/** All files below a directory with their contents, to be compared. */
export function snapshot(directory: string): Settings {
  const names = readdirSync(directory, { recursive: true, withFileTypes: true, encoding: "utf8" })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));
  const contents = (path: string): Buffer =>
    readFileSync(path).subarray(path.endsWith("token.object") ? COUNTER_BYTES : 0);
  return Object.fromEntries(names.sort().map((path) => [path, contents(path).toString("hex")]));
}

/** What an operator does with a tool of his own, on a token that is not open in this process. */
function withPlainSession(modulePath: string, pin: string, use: (session: graphene.Session) => void): void {
  const module = Pkcs11Module.open(modulePath);
  const session = openSession(module.slotOfToken(undefined));
  session.login(pin);
  use(session);
  session.close();
  module.close();
}

/** The PIN of every throwaway token is so short that it may stand in any text. */
function changePin(modulePath: string, former: string): void {
  withPlainSession(modulePath, former, (session) => session.setPin(former, SECRET));
}

async function makePairs(modulePath: string): Promise<ReadonlyMap<string, CryptoKey>> {
  const token = openTestToken({ modulePath, label: "below the simulator", pin: SECRET });
  const publicKeys = new Map<string, CryptoKey>();
  const pairs: readonly (readonly [string, SignatureAlgorithm])[] = [
    ["seal", RSA],
    ["stamp", P256],
    ["twice", P256],
    ["twice", P256],
  ];
  for (const [label, algorithm] of pairs) {
    const { publicKey } = await token.generateKeyPair(label, algorithm);
    const spki = new Uint8Array(publicKey.publicKeyObject.export({ type: "spki", format: "der" }));
    const { keyAlgorithm } = algorithm;
    publicKeys.set(
      label,
      await softwareCrypto.subtle.importKey("spki", spki, keyAlgorithm, true, ["verify"]),
    );
  }
  await token.close(5_000);
  return publicKeys;
}

function makeExposedPair(modulePath: string, label: string): void {
  withPlainSession(modulePath, SECRET, (session) => {
    generateP256(session, { label }, { sensitive: true, extractable: true });
  });
}

/** From the tests' clock to so many days from now: the command goes by the real one. */
function realDays(days: number): number {
  return days + (Date.now() - PKI_NOW.getTime()) / DAY_MS;
}

/** Runs the command for a person. */
export async function doctor(settings: Settings, ...args: readonly string[]): Promise<CommandResult> {
  const result = await runCommand(["doctor", ...args], settings);
  assert.doesNotMatch(result.stdout + result.stderr, new RegExp(SECRET));
  return result;
}

/** What the command found, from its JSON. */
export interface Examination {
  readonly result: CommandResult;
  readonly checks: readonly Finding[];
  /** The findings of one check, without those of another status if one is named. */
  of(check: CheckName, status?: Status): readonly Finding[];
}

/** Runs the command for a script, and holds its document to what is promised of every one. */
export async function examine(settings: Settings, ...args: readonly string[]): Promise<Examination> {
  const result = await doctor(settings, "--json", ...args);
  const { ok, checks } = JSON.parse(result.stdout) as { ok: boolean; checks: readonly Finding[] };
  assert.equal(result.stderr, "");
  assert.equal(ok, !checks.some(({ status }) => status === "failure"));
  for (const { status, found, advice } of checks) {
    assert.ok(found.length > 0);
    if (status === "warning" || status === "failure") assert.match(advice ?? "", /^[A-Z].*\.$/);
  }
  const of = (check: CheckName, status?: Status): readonly Finding[] =>
    checks.filter((finding) => finding.check === check && (status ?? finding.status) === finding.status);
  return { result, checks, of };
}

/** Asserts that one check came to one finding of this status, and that there is no other failure or warning. */
export function assertOnly(
  { checks, of }: Examination,
  check: CheckName,
  status: "warning" | "failure",
  found: RegExp,
): Finding {
  const bad = checks.filter((finding) => finding.status === "failure" || finding.status === "warning");
  const [finding] = of(check, status);
  assert.deepEqual(bad, [finding]);
  assert.ok(finding);
  assert.match(finding.found, found);
  return finding;
}
