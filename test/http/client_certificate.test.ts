import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { namesIn } from "../../lib/http/client_certificate.ts";
import { lacks } from "../../lib/runtime.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const directory = temporaryDirectory();

/** A certificate by OpenSSL, with the lines of its subject and of its alternative names as they are. */
function certificate(subject: readonly string[], names: readonly string[] = []): X509Certificate {
  const alternative = names.length === 0 ? "" : `subjectAltName=@names\n[names]\n${names.join("\n")}\n`;
  const config = join(directory, "openssl.cnf");
  const request =
    "[req]\nprompt=no\nutf8=yes\nstring_mask=utf8only\ndistinguished_name=dn\nx509_extensions=ext\n";
  writeFileSync(
    config,
    `${request}[dn]\n${subject.join("\n")}\n[ext]\nbasicConstraints=CA:FALSE\n${alternative}`,
  );
  const key = [
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-noenc",
    "-keyout",
    join(directory, "key.pem"),
  ];
  const pem = execFileSync("openssl", ["req", "-x509", ...key, "-days", "1", "-config", config], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  return new X509Certificate(pem);
}

describe("The names in a client's certificate", () => {
  for (const [what, subject, names, expected] of [
    ["are its common name", ["O=Example Ltd", "CN=billing"], [], ["CN:billing"]],
    [
      "are its alternative names, each of its kind",
      ["CN=billing"],
      [
        "DNS.1=b.example.com",
        "DNS.2=*.example.com",
        "URI=spiffe://a/b",
        "email=b@example.com",
        "IP=10.0.0.1",
      ],
      ["CN:billing", "DNS:b.example.com", "DNS:*.example.com", "URI:spiffe://a/b", "email:b@example.com"],
    ],
    ["have letters of all kinds", ["CN=J\u00fcrgen, M. + Co"], [], ["CN:J\u00fcrgen, M. + Co"]],
    ["are not one of two common names", ["0.CN=billing", "1.CN=archive"], ["DNS=x.test"], ["DNS:x.test"]],
    ["are none without any", ["O=Example Ltd"], [], []],
    [
      "are not what stands inside of a name",
      ["CN=a"],
      ["URI=http://a, DNS:evil.test", "DNS=ok.test"],
      ["CN:a", "DNS:ok.test"],
    ],
    [
      "are not what looks quoted",
      ["CN=a"],
      ['URI=http://a", DNS:evil.test, "', "DNS=ok.test"],
      ["CN:a", "DNS:ok.test"],
    ],
    [
      "are not those of other kinds",
      ["CN=a"],
      ["otherName=1.2.3.4;UTF8:DNS:evil.test", "dirName=dir", "RID=1.2.3.4", "[dir]", "CN=DNS:evil.test"],
      ["CN:a"],
    ],
    ["do not say what kind they are by themselves", ["CN=DNS:evil.test"], [], ["CN:DNS:evil.test"]],
  ] as const) {
    it(`${what}.`, () => {
      const readable = lacks("quoted alternative names")
        ? expected.filter((name) => name.startsWith("CN:"))
        : expected;
      assert.deepEqual(namesIn(certificate(subject, names)), readable);
    });
  }
});
