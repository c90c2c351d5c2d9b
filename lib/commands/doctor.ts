import type { Command, CommandContext, CommandOptions } from "../command.ts";
import type { CredentialConfig } from "../config/credentials.ts";
import { messageOf } from "../errors.ts";
import { EXIT, type ExitCode } from "../exit_codes.ts";
import { checkAccess } from "./doctor/access_check.ts";
import { adviceFor } from "./doctor/advice.ts";
import { checkCertificate } from "./doctor/certificate_check.ts";
import { checkKey, checkLatency, checkMechanism, checkSignature } from "./doctor/credential_checks.ts";
import { Examined } from "./doctor/examined.ts";
import {
  type CheckName,
  type Finding,
  failure,
  NeedError,
  type Outcome,
  ok,
  skipped,
} from "./doctor/finding.ts";
import { knownConfiguration } from "./doctor/known_configuration.ts";
import { wantsColours } from "./doctor/layout.ts";
import { checkClock, checkThreads } from "./doctor/machine_checks.ts";
import { Report } from "./doctor/report.ts";
import {
  checkInitialization,
  checkModule,
  checkPin,
  checkSessions,
  checkToken,
} from "./doctor/token_checks.ts";
import { Watch } from "./doctor/watch.ts";

/** Says what works and what does not, and what to do about it. Nothing is changed, no secret shown. */
export const DOCTOR: Command = {
  name: "doctor",
  summary: "check everything that signing needs, change nothing",
  description:
    "Checks the configuration, the PKCS#11 library, the token, the PIN (with one login), sessions, keys, " +
    "certificates and this machine, and signs once with each key.\n" +
    "Each line says what was found and, where it is not ok, what to do next.\n" +
    "Exit codes: 0 nothing failed, 1 something did, 2 only the configuration is wrong, 3 the PIN was refused, or " +
    "not tried as it could lock the user. When a call does not return from the library, the process ends itself " +
    "with SIGKILL after its last words.",
  options: [
    ["--key-label <label>", "only this key pair, configured or not (HSM_KEY_LABEL)"],
    ["--json", "one JSON document: { ok, checks: [{ check, credential?, status, found, advice? }] }"],
  ],
  run: doctor,
};

type Outcomes = Iterable<Outcome> | AsyncIterable<Outcome>;

/** One check of the plan; it throws what keeps it from its end. */
interface Step {
  readonly check: CheckName;
  readonly credential?: string;
  /** How long the library may take to return from a call. */
  readonly limitMs: number;
  run(): Outcomes;
}

const CALL_LIMIT_MS = 10_000;
/** An issuer, or a library that looks for its cluster, takes its time to say that it is not there. */
const START_LIMIT_MS = 30_000;

async function doctor(context: CommandContext, options: CommandOptions): Promise<ExitCode> {
  const report = new Report({
    asJson: options.json ?? false,
    inColours: wantsColours(process.stdout.isTTY ?? false, context.environment),
    print: (text) => context.print(text),
  });
  const watch = new Watch();
  const known = knownConfiguration(context, options);
  const examined = new Examined(context, known, () => watch.progress());
  const steps = plan(examined, options);
  for (const [index, step] of steps.entries()) await take(step, steps.slice(index + 1), report, watch);
  watch.expect({ limitMs: CALL_LIMIT_MS, lastWords: report.endingWith([]) });
  examined.examination?.close();
  watch.end();
  report.end();
  return exitCode(report.findings, examined);
}

function exitCode(findings: readonly Finding[], { isPinRefused }: Examined): ExitCode {
  if (isPinRefused) return EXIT.pinRefused;
  const failed = findings.filter(({ status }) => status === "failure");
  if (failed.length === 0) return EXIT.ok;
  return failed.every(({ check }) => check === "configuration") ? EXIT.usage : EXIT.failed;
}

/** All checks, in their order. */
function plan(examined: Examined, options: CommandOptions): readonly Step[] {
  const { credentials } = examined.known;
  const step = (check: CheckName, run: (examined: Examined) => Outcomes, limitMs = CALL_LIMIT_MS): Step => ({
    check,
    limitMs,
    run: () => run(examined),
  });
  const each = (
    check: CheckName,
    run: (examined: Examined, credential: CredentialConfig) => Outcomes,
  ): readonly Step[] =>
    credentials?.map((credential) => ({
      ...step(check, () => run(examined, credential)),
      credential: credential.label,
    })) ?? [step(check, needsCredentials)];
  return [
    step("configuration", () => checkConfiguration(examined, options)),
    step("access", checkAccess, START_LIMIT_MS),
    step("module", checkModule),
    step("initialization", checkInitialization, START_LIMIT_MS),
    step("token", checkToken),
    step("pin", checkPin, START_LIMIT_MS),
    step("sessions", checkSessions),
    ...each("mechanism", checkMechanism),
    ...each("key", checkKey),
    ...each("certificate", checkCertificate),
    step("clock", checkClock),
    step("thread-pool", checkThreads),
    ...each("latency", checkLatency),
    ...each("signature", checkSignature),
  ];
}

function needsCredentials(): never {
  throw new NeedError(
    "the settings of the key pairs (HSM_KEY_LABEL, HSM_KEY_ALGORITHM, SIGNATURE_SCHEME, DIGEST)",
  );
}

function* checkConfiguration({ known, context }: Examined, { config }: CommandOptions): Generator<Outcome> {
  for (const mistake of known.mistakes) {
    yield failure(
      mistake.replace(/\.$/, ""),
      "Correct the setting: README.md, Configuration, says what it may be.",
    );
  }
  if (known.mistakes.length > 0) return;
  const file = config ?? context.environment["CONFIG_FILE"];
  const credentials = known.credentials?.map(
    ({ label, algorithm: { key, scheme, hash } }) => `"${label}" with ${key.name} ${scheme} ${hash.name}`,
  );
  yield ok(`read from the environment${file ? ` and ${file}` : ""}; ${credentials?.join(", ")}`);
}

async function take(step: Step, later: readonly Step[], report: Report, watch: Watch): Promise<void> {
  const expect = (): void =>
    watch.expect({
      limitMs: step.limitMs,
      lastWords: report.endingWith([finding(step, hung(step)), ...later.map(unreached)]),
    });
  expect();
  try {
    for await (const outcome of step.run()) {
      report.add(finding(step, outcome));
      expect();
    }
  } catch (error) {
    report.add(finding(step, outcomeOf(error)));
  }
}

function finding({ check, credential }: Step, outcome: Outcome): Finding {
  return { check, ...(credential === undefined ? {} : { credential }), ...outcome };
}

function outcomeOf(error: unknown): Outcome {
  if (error instanceof NeedError) return skipped(`not checked: needs ${error.need}`);
  return failure(messageOf(error), adviceFor(error));
}

function hung({ limitMs }: Step): Outcome {
  return failure(
    `the library has not returned from a call for ${limitMs / 1_000} s`,
    "See that the HSM can be reached, and what the library's own log says; this process has ended itself (SIGKILL).",
  );
}

function unreached(step: Step): Finding {
  return finding(step, skipped("not checked: needs a library that returns from its calls"));
}
