import assert from "node:assert/strict";
import { test } from "node:test";
import { nameText, printable } from "../../lib/credential/printable.ts";

test("characters that nobody sees are shown as the octets of their UTF-8, and all others as they are", () => {
  for (const [text, shown] of [
    ["Müller & Söhne, 署名 🔏", "Müller & Söhne, 署名 🔏"],
    ["a\u0000b\tc\u007f", "a\\00b\\09c\\7f"],
    ["\u001b]0;x\u0007", "\\1b]0;x\\07"],
    ["\u009b2J", "\\c2\\9b2J"],
    ["\u202egnp.exe\u2066", "\\e2\\80\\aegnp.exe\\e2\\81\\a6"],
    ["a\u200bb\ufeff\u00ad", "a\\e2\\80\\8bb\\ef\\bb\\bf\\c2\\ad"],
    ["a\u2028b\u2029", "a\\e2\\80\\a8b\\e2\\80\\a9"],
    ["\u{e0041}", "\\f3\\a0\\81\\81"],
  ] as const) {
    assert.equal(printable(text), shown);
  }
});

test("a name is shown the other way round than it is encoded, and is empty where there is none", () => {
  assert.equal(nameText("C=DE\nO=Example\\, Ltd\nCN=a + UID=b"), "CN=a + UID=b, O=Example\\, Ltd, C=DE");
  assert.equal(nameText("CN=a\u202eb"), "CN=a\\e2\\80\\aeb");
  assert.equal(nameText(undefined), "");
});
