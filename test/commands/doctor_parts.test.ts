import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { loadAdvice } from "../../lib/commands/doctor/advice.ts";
import type { Finding } from "../../lib/commands/doctor/finding.ts";
import { judgeTimes } from "../../lib/commands/doctor/latency.ts";
import { layOut, wantsColours, wrap } from "../../lib/commands/doctor/layout.ts";
import { judgeThreads } from "../../lib/commands/doctor/machine_checks.ts";
import { Report } from "../../lib/commands/doctor/report.ts";
import { shellWord } from "../../lib/commands/doctor/wording.ts";

const ESCAPE = "\u001b";
const often = (time: number): number[] => Array.from({ length: 20 }, () => time);

describe("threads", () => {
  test("are enough where there is room for one of each session, and for the others of the process", () => {
    assert.equal(judgeThreads(16, 48).status, "ok");
    assert.equal(judgeThreads(1_000, Number.POSITIVE_INFINITY).status, "ok");
    assert.deepEqual(judgeThreads(16, undefined).status, "skipped");
  });

  test("that are too few are a warning with both numbers", () => {
    const { status, found } = judgeThreads(16, 47);
    assert.equal(status, "warning");
    assert.match(found, /allows 47 threads: too few for 16 sessions/);
  });
});

describe("latency", () => {
  const judged = (init: number[], sign: number[]): string => judgeTimes({ init, sign }, 16).status;

  test("a C_SignInit that stays inside the library is ok, whatever C_Sign takes", () => {
    for (const sign of [0.05, 1, 30]) assert.equal(judged(often(0.02), often(sign)), "ok");
  });

  test("one that asks the HSM is a warning, whatever C_Sign takes", () => {
    for (const sign of [0.7, 2, 30]) assert.equal(judged(often(0.9), often(sign)), "warning");
  });

  test("a machine that is busy does not make a round trip of it: the fastest call is a local one", () => {
    assert.equal(judged([0.05, ...often(2)], often(4)), "ok");
  });

  test("a round trip that does not limit anything is ok", () => {
    assert.equal(judged(often(0.4), often(1)), "ok");
  });

  test("the sessions and the two calls say how many signatures there can be", () => {
    assert.equal(
      judgeTimes({ init: often(0.01), sign: often(4) }, 16).found,
      "C_SignInit 0.01 ms, C_Sign 4.00 ms (medians of 20): 16 sessions carry at most some 4,000 signatures a " +
        "second, if the HSM keeps up",
    );
    assert.match(
      judgeTimes({ init: often(0.1), sign: often(9.9) }, 1).found,
      /one session carries .* some 100 /,
    );
    assert.doesNotMatch(judgeTimes({ init: often(1), sign: often(1) }, undefined).found, /carry/);
  });

  test("a session is busy with both calls", () => {
    assert.match(judgeTimes({ init: often(2), sign: often(2) }, 8).found, /at most some 2,000 signatures/);
  });

  test("half of the times are shorter than the median, and half are longer", () => {
    const found = (sign: number[]): string => judgeTimes({ init: sign, sign }, undefined).found;
    assert.match(found([9, 1, 2]), /C_Sign 2\.00 ms \(medians of 3\)/);
    assert.match(found([4, 1, 2, 9]), /C_Sign 3\.00 ms \(medians of 4\)/);
    assert.match(found([20]), /C_Sign 20 ms/);
  });
});

describe("layout", () => {
  const finding: Finding = {
    check: "certificate",
    credential: "seal",
    status: "warning",
    found: "containers of 20,000 bytes do not fit into the Web SDK's standard placeholder",
    advice: "Set placeholderSize in the front end, or leave certificates out of the file.",
  };

  test("a finding stands in three columns, what to do below what was found", () => {
    assert.equal(
      layOut(finding, false),
      [
        "warning  certificate     seal: containers of 20,000 bytes do not fit into the",
        "                         Web SDK's standard placeholder",
        "                         → Set placeholderSize in the front end, or leave",
        "                           certificates out of the file.",
      ].join("\n"),
    );
  });

  test("colours change nothing else", () => {
    const coloured = layOut(finding, true);
    assert.ok(coloured.startsWith(`${ESCAPE}[33mwarning  ${ESCAPE}[0mcertificate`));
    assert.equal(coloured.replaceAll(new RegExp(`${ESCAPE}\\[\\d+m`, "g"), ""), layOut(finding, false));
  });

  test("there are colours on a terminal, unless NO_COLOR is set", () => {
    assert.equal(wantsColours(true, {}), true);
    assert.equal(wantsColours(true, { NO_COLOR: "" }), true, "https://no-color.org: and not empty");
    assert.equal(wantsColours(true, { NO_COLOR: "1" }), false);
    assert.equal(wantsColours(false, {}), false);
  });

  test("lines hold as many whole words as fit; commands and long words stay whole", () => {
    assert.deepEqual(wrap("one two three", 7), ["one two", "three"]);
    assert.deepEqual(wrap("one two three", 6), ["one", "two", "three"]);
    assert.deepEqual(wrap("a /path/that/is/long b", 8), ["a", "/path/that/is/long", "b"]);
    assert.deepEqual(wrap("run `a b c d`. Now", 9), ["run", "`a b c d`.", "Now"]);
    assert.deepEqual(wrap(`a${ESCAPE}[2J\u202e b`, 80), ["a?[2J? b"]);
  });
});

describe("report", () => {
  const good: Finding = { check: "module", status: "ok", found: "loads" };
  const bad: Finding = {
    check: "key",
    credential: "seal",
    status: "failure",
    found: "none",
    advice: "Make one.",
  };
  const worse: Finding = { check: "pin", status: "skipped", found: "not checked" };
  const printing = (asJson: boolean): { report: Report; lines: string[] } => {
    const lines: string[] = [];
    const print = (text: string): void => void lines.push(text);
    return { report: new Report({ asJson, inColours: false, print }), lines };
  };

  test("a person sees each finding when it is there, and what it comes to at the end", () => {
    const { report, lines } = printing(false);
    report.add(good);
    assert.deepEqual(lines, ["ok       module          loads"]);
    report.add(bad);
    report.end();
    assert.equal(lines.at(-1), "\n1 failure (key of seal); 1 ok.");
  });

  test("the summary names what is not ok", () => {
    const summaryOf = (...findings: Finding[]): string => {
      const { report, lines } = printing(false);
      for (const finding of findings) report.add(finding);
      report.end();
      return lines.at(-1)?.trim() ?? "";
    };
    const warned: Finding = { check: "clock", status: "warning", found: "late", advice: "Set it." };
    assert.equal(summaryOf(good, good), "All is well: 2 checks.");
    assert.equal(summaryOf(good, warned), "No failure, 1 warning (clock); 1 ok.");
    assert.equal(summaryOf(good, worse), "No failure, 1 not checked; 1 ok.");
    assert.equal(
      summaryOf(bad, bad, warned, worse),
      "2 failures (key of seal), 1 warning (clock), 1 not checked; 0 ok.",
    );
  });

  test("the last words are what was not said yet, as if nothing had happened", () => {
    const spoken = printing(false);
    spoken.report.add(good);
    const last = spoken.report.endingWith([bad, worse]);
    const { report, lines } = printing(false);
    for (const finding of [good, bad, worse]) report.add(finding);
    report.end();
    assert.equal(`${spoken.lines.join("\n")}\n${last}`, `${lines.join("\n")}\n`);
  });

  test("a script gets one document, at the end", () => {
    const { report, lines } = printing(true);
    report.add(good);
    report.add(bad);
    assert.deepEqual(lines, []);
    assert.deepEqual(JSON.parse(report.endingWith([worse])), { ok: false, checks: [good, bad, worse] });
    report.end();
    assert.deepEqual(JSON.parse(lines.join("")), { ok: false, checks: [good, bad] });
  });
});

describe("a library that does not load", () => {
  const path = "/opt/x/lib.so";
  for (const [reason, advice] of [
    [`${path}: wrong ELF class: ELFCLASS32`, /made for this machine/],
    [`${path}: invalid ELF header`, /made for this machine/],
    [`/lib/libc.so.6: version \`GLIBC_2.38' not found (required by ${path})`, /newer glibc/],
    [`${path}: undefined symbol: C_GetFunctionList`, /the PKCS#11 library itself/],
    [
      "libjson-c.so.5: cannot open shared object file: No such file or directory",
      /package that has libjson-c\.so\.5/,
    ],
    [`${path}: cannot open shared object file: Permission denied`, /Let the service's user read the file/],
    ["something else", /Let the service's user read the file/],
  ] as const) {
    test(reason, () => assert.match(loadAdvice(path, reason), advice));
  }
});

test("what is to be copied into a shell means there what it means here", () => {
  assert.equal(shellWord("/run/pin-1"), "/run/pin-1");
  assert.equal(shellWord("my key"), "'my key'");
  assert.equal(shellWord("it's $HOME"), "'it'\\''s $HOME'");
});
