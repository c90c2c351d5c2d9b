import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { ChainFile } from "../../lib/credential/chain_file.ts";
import { moduleCommand } from "../support/module_command.ts";
import { intermediateCa, leafOf, pemOf, rootCa } from "../support/pki.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const root = await rootCa();
const intermediate = await intermediateCa(root);
const leaf = await leafOf(intermediate);
const chain = [leaf.der, intermediate.der, root.der];
const LEAF_PEM = pemOf(leaf);
const CA_PEM = pemOf(intermediate);
const CHAIN_PEM = LEAF_PEM + CA_PEM;

const scratch = temporaryDirectory();
const freshDirectory = (): string => mkdtempSync(join(scratch, "test-"));

/** A chain file with these contents. */
function fileOf(contents: string | Uint8Array): ChainFile {
  const file = new ChainFile(freshDirectory(), "key");
  writeFileSync(file.path, contents);
  return file;
}

/** A PEM header is put together, so that no file of the repository looks as if it held such a thing. */
function block(label: string, body: string): string {
  return `-----${"BEGIN"} ${label}-----\n${body}\n-----${"END"} ${label}-----\n`;
}

function assertMalformed(contents: string | Uint8Array, state: RegExp): void {
  const file = fileOf(contents);
  assert.throws(
    () => file.read(),
    (error) => {
      assert.ok(error instanceof Error && "code" in error);
      assert.equal(error.code, "ERR_CERTIFICATE_MALFORMED");
      assert.ok(error.message.startsWith(`Cannot use the certificate chain ${file.path}: `), error.message);
      assert.match(error.message, state);
      return true;
    },
  );
}

test("a chain comes back byte for byte and in its order", () => {
  for (const certificates of [chain, chain.toReversed(), [leaf.der]]) {
    const file = new ChainFile(freshDirectory(), "key");
    assert.equal(file.exists(), false);
    assert.equal(file.create(certificates), true);
    assert.equal(file.exists(), true);
    assert.deepEqual(file.read(), certificates);
  }
});

test("the file is named for the key's label, and its text is what is served", () => {
  const directory = freshDirectory();
  const file = new ChainFile(directory, "My key.2 @site");
  file.create(chain);
  assert.equal(file.path, join(directory, "My key.2 @site.pem"));
  assert.equal(readFileSync(file.path, "utf8"), ChainFile.toPem(chain));
});

test("the text that is served is the PEM that OpenSSL writes", () => {
  const { path } = fileOf(ChainFile.toPem(chain));
  assert.equal(opensslReads(path), ChainFile.toPem(chain));
});

/** The certificates that OpenSSL finds in a file, in its own PEM. */
function opensslReads(path: string): string {
  const printed = execFileSync("openssl", ["storeutl", "-certs", path], { encoding: "utf8" });
  return printed.replaceAll(/^(\d+: Certificate|Total found: \d+)\n/gm, "");
}

// What people do to PEM files.

for (const [name, contents] of [
  ["CRLF line ends", CHAIN_PEM.replaceAll("\n", "\r\n")],
  [
    "text before, between and after the blocks",
    `# leaf\n${LEAF_PEM}\nIssuer: CN=Test CA - at home\n\n${CA_PEM}the end`,
  ],
  ["what openssl prints above a certificate", `subject=CN = Test Leaf\n---\nissuer=CN = x\n${CHAIN_PEM}`],
  ["no line end after the last line", CHAIN_PEM.trimEnd()],
  ["a byte order mark", `\ufeff${CHAIN_PEM}`],
  ["spaces at the ends of lines", CHAIN_PEM.replaceAll("\n", "  \n")],
  ["an empty line after each BEGIN", CHAIN_PEM.replaceAll(/(BEGIN .*\n)/g, "$1\n")],
] as const) {
  test(`a file with ${name} holds the certificates that OpenSSL finds in it`, () => {
    const file = fileOf(contents);
    assert.deepEqual(file.read(), [leaf.der, intermediate.der]);
    assert.equal(opensslReads(file.path), CHAIN_PEM);
  });
}

test("indented blocks, one long line of base64 and old Macintosh line ends are accepted too", () => {
  const oneLine = CHAIN_PEM.replaceAll(/(?<![-\n])\n(?!-)/g, "");
  for (const contents of [CHAIN_PEM.replaceAll(/^/gm, "    "), oneLine, CHAIN_PEM.replaceAll("\n", "\r")]) {
    assert.deepEqual(fileOf(contents).read(), [leaf.der, intermediate.der]);
  }
});

// What is refused; above all, no certificate of the file is passed over in silence.

test("a file that is missing is refused with its path and CERT_DIR", () => {
  const file = new ChainFile(freshDirectory(), "key");
  const message = new RegExp(`^Cannot read the certificate chain ${file.path} \\(CERT_DIR\\): ENOENT`);
  assert.throws(() => file.read(), { code: "ERR_CERTIFICATE_NOT_FOUND", message });
});

test("a path that is a directory is refused", () => {
  const file = new ChainFile(freshDirectory(), "key");
  mkdirSync(file.path);
  assert.throws(() => file.read(), { code: "ERR_CERTIFICATE_NOT_FOUND", message: /CERT_DIR.*EISDIR/ });
});

test("a file without PEM is refused: empty, text, DER, UTF-16", () => {
  for (const contents of ["", "\n", "no certificate here\n", leaf.der, Buffer.from(CHAIN_PEM, "utf16le")]) {
    assertMalformed(contents, /holds no certificate/);
  }
});

test("broken base64 is refused in whichever block it stands", () => {
  const firstLine = /(?<=BEGIN CERTIFICATE-----\n)/;
  const lastLine = /\n(?=-----END)/;
  for (const damage of [
    (pem: string) => pem.replace(firstLine, "!"),
    (pem: string) => pem.replace(firstLine, "A"),
    (pem: string) => pem.replace(firstLine, "Proc-Type: 4,CLEAR\n\n"),
    (pem: string) => pem.replace(lastLine, "=\n"),
    (pem: string) => pem.replace(lastLine, "====\n"),
    (pem: string) => pem.replace(lastLine, "\n-_==\n"),
    () => block("CERTIFICATE", ""),
  ]) {
    assertMalformed(damage(LEAF_PEM) + CA_PEM, /CERTIFICATE in it is not base64/);
    assertMalformed(LEAF_PEM + damage(CA_PEM), /CERTIFICATE in it is not base64/);
  }
});

test("a block that has lost its end is refused", () => {
  assertMalformed(LEAF_PEM + CA_PEM.replace(/-----END.*\n/, ""), /CERTIFICATE has no end/);
  assertMalformed(LEAF_PEM.replace(/-----END.*\n/, "") + CA_PEM, /line \d+ is out of place/);
});

test("a block that has lost its beginning, or ends as something else, is refused", () => {
  assertMalformed(LEAF_PEM + CA_PEM.replace(/-----BEGIN.*\n/, ""), /line \d+ is out of place/);
  assertMalformed(CHAIN_PEM.replace("END CERTIFICATE", "END CRL"), /line \d+ is out of place/);
});

test("two files joined without a line end between them are refused, with the line", () => {
  const line = LEAF_PEM.trimEnd().split("\n").length;
  assertMalformed(LEAF_PEM.trimEnd() + CA_PEM, new RegExp(`line ${line} is out of place`));
});

test("a boundary with a dash too few is refused", () => {
  assertMalformed(LEAF_PEM + CA_PEM.replace("-----BEGIN", "----BEGIN"), /line \d+ is out of place/);
  assertMalformed(LEAF_PEM + CA_PEM.replace(/-----\n/, "----\n"), /line \d+ is out of place/);
});

for (const label of ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY"]) {
  test(`a file with a block "${label}" is refused, and told where the key belongs`, () => {
    const keyBlock = block(label, "AAAA");
    const withHeaders = block(label, "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA");
    const contents = [keyBlock + CHAIN_PEM, CHAIN_PEM + keyBlock, withHeaders + CHAIN_PEM, block(label, "!")];
    for (const text of [...contents, CHAIN_PEM + keyBlock.replace(/-----END.*\n/, "")]) {
      assertMalformed(text, /private key, which belongs on the token alone/);
    }
  });
}

for (const label of ["PKCS7", "CERTIFICATE REQUEST", "PUBLIC KEY", "TRUSTED CERTIFICATE", "X509 CRL"]) {
  test(`a file with a block "${label}" is refused by that name`, () => {
    assertMalformed(CHAIN_PEM + block(label, "AAAA"), new RegExp(`holds a ${label}`));
    assertMalformed(block(label, "AAAA"), new RegExp(`holds a ${label}`));
  });
}

// Making the file.

test("what exists is never overwritten, whatever it is", () => {
  for (const contents of [LEAF_PEM, "", "notes"]) {
    const file = fileOf(contents);
    assert.equal(file.create([root.der]), false);
    assert.equal(readFileSync(file.path, "utf8"), contents);
  }
});

test("the directory is made with all above it, and nothing but the file is left in it", () => {
  const directory = join(freshDirectory(), "etc", "certs");
  const file = new ChainFile(directory, "key");
  assert.equal(file.create(chain), true);
  assert.equal(file.create(chain), false);
  assert.deepEqual(readdirSync(directory), ["key.pem"]);
});

test("a directory that cannot be made is refused with its path and CERT_DIR", () => {
  const regularFile = join(freshDirectory(), "regular");
  writeFileSync(regularFile, "");
  for (const directory of [regularFile, join(regularFile, "certs"), join(regularFile, "a", "b")]) {
    const file = new ChainFile(directory, "key");
    const message = new RegExp(`^Cannot keep the certificate in ${file.path} \\(CERT_DIR\\): E`);
    assert.throws(() => file.create(chain), { code: "ERR_CERTIFICATE_NOT_WRITTEN", message });
    assert.equal(file.exists(), false);
  }
});

test("a file that cannot be made leaves nothing behind in its directory", () => {
  const directory = freshDirectory();
  const file = new ChainFile(directory, "there-is-no-such-directory/key");
  assert.throws(() => file.create(chain), {
    code: "ERR_CERTIFICATE_NOT_WRITTEN",
    message: /CERT_DIR.*ENOENT/,
  });
  assert.deepEqual(readdirSync(directory), []);
});

/** Makes the files "0" to "99", each with its own chain, as soon as a line comes in; prints which it made. */
const CREATOR = `
  const [module, directory, marker] = args;
  const { ChainFile } = await import(module);
  const chain = [0, 1, 2].map(() => new Uint8Array(20000).fill(Number(marker)));
  process.stdout.write("ready\\n");
  process.stdin.once("data", () => {
    process.stdin.destroy();
    const made = Array.from({ length: 100 }, (_, index) => new ChainFile(directory, String(index)).create(chain));
    process.stdout.write(JSON.stringify(made));
  });
`;

test("of two processes that make a file at once, one does; nobody ever sees it half written", async () => {
  const directory = freshDirectory();
  const module = new URL("../../lib/credential/chain_file.ts", import.meta.url).href;
  const markers = [1, 2];
  const processes = markers.map((marker) => {
    const { program, args } = moduleCommand(CREATOR, [module, directory, String(marker)]);
    return spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
  });
  const outputs = processes.map(({ stdout }) => text(stdout));
  await Promise.all(processes.map(({ stdout }) => once(stdout, "data")));
  for (const { stdin } of processes) stdin.write("go\n");

  const wholes = markers.map((marker) =>
    ChainFile.toPem([0, 1, 2].map(() => new Uint8Array(20000).fill(marker))),
  );
  const isRunning = ({ exitCode, signalCode }: ChildProcess): boolean =>
    exitCode === null && signalCode === null;
  while (processes.some(isRunning)) {
    for (let index = 0; index < 100; index += 1) {
      const { path } = new ChainFile(directory, String(index));
      if (existsSync(path))
        assert.ok(wholes.includes(readFileSync(path, "utf8")), `file ${index} is not whole`);
    }
    await new Promise(setImmediate);
  }

  const made = (await Promise.all(outputs)).map(
    (output) => JSON.parse(output.replace("ready\n", "")) as boolean[],
  );
  for (let index = 0; index < 100; index += 1) {
    const winners = markers.filter((_, creator) => made[creator]?.[index]);
    assert.equal(winners.length, 1, `file ${index} was made by ${winners.length}`);
    const contents = readFileSync(new ChainFile(directory, String(index)).path, "utf8");
    assert.equal(contents, wholes[winners[0] === markers[0] ? 0 : 1]);
  }
  assert.equal(readdirSync(directory).length, 100);
});
