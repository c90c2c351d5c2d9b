import assert from "node:assert/strict";
import { test } from "node:test";
import { parseSettingsFile } from "../../lib/config/settings_file.ts";

const valuesOf = (text: string): Readonly<Record<string, string>> => {
  const { values, mistakes } = parseSettingsFile(text, "file");
  assert.deepEqual(mistakes, []);
  return values;
};

test("a line is a setting; empty lines and comments are passed over", () => {
  assert.deepEqual(valuesOf("# one\n\nPORT=80\n  ; two\n\tHOST = 127.0.0.1 \nexport CERT_DIR=certs"), {
    PORT: "80",
    HOST: "127.0.0.1",
    CERT_DIR: "certs",
  });
});

test("a value may stand in quotes, and keeps what is in them", () => {
  const text = `A="CN=Example Ltd, O=\\"x\\""\nB=' two  spaces '\nC="it's"\nD=""\nE=`;
  assert.deepEqual(valuesOf(text), {
    A: 'CN=Example Ltd, O=\\"x\\"',
    B: " two  spaces ",
    C: "it's",
    D: "",
    E: "",
  });
});

test("nothing in a value is expanded, and a # in it begins no comment", () => {
  assert.deepEqual(valuesOf("A=$HOME\nB=`date`\nC=a # b\nD=a=b"), {
    A: "$HOME",
    B: "`date`",
    C: "a # b",
    D: "a=b",
  });
});

test("lines may end as Windows has them, and the file may begin with a byte order mark", () => {
  assert.deepEqual(valuesOf("\ufeffA=1\r\nB=2\r\n"), { A: "1", B: "2" });
});

test("every line that is wrong is named, without its value", () => {
  const { values, mistakes } = parseSettingsFile(
    ["A=1", "secret-4711", "= secret-4711", "1A=secret-4711", 'B="secret-4711', "A=secret-4711"].join("\n"),
    "/etc/settings",
  );
  assert.deepEqual(values, { A: "1" });
  assert.deepEqual(mistakes, [
    "/etc/settings, line 2, does not read NAME=value.",
    "/etc/settings, line 3, does not read NAME=value.",
    "/etc/settings, line 4, does not read NAME=value.",
    "/etc/settings, line 5, has a quote without its end.",
    "/etc/settings, line 6, sets A a second time.",
  ]);
});

test("no name reaches what every object has", () => {
  const values = valuesOf("toString=1\nconstructor=2\n__proto__=3");
  assert.deepEqual(Object.entries(values), [
    ["toString", "1"],
    ["constructor", "2"],
    ["__proto__", "3"],
  ]);
  assert.equal(Object.hasOwn(valuesOf("A=1"), "toString"), false);
});
