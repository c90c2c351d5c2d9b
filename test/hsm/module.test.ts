import assert from "node:assert/strict";
import { test } from "node:test";
import { fails } from "../support/fails.ts";
import { openTestToken } from "../support/token.ts";

test("a library that is none, and a file that is not there, are named", () => {
  for (const modulePath of ["/nowhere/libnothing.so", "/etc/hostname"]) {
    assert.throws(
      () => openTestToken({ modulePath, label: "test", pin: "1234" }),
      fails("ERR_MODULE_UNUSABLE", new RegExp(`Cannot load the PKCS#11 library ${modulePath}: `)),
    );
  }
});
