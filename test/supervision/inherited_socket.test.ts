import assert from "node:assert/strict";
import { test } from "node:test";
import { inheritedSocket } from "../../lib/supervision/inherited_socket.ts";

test("the one socket that was handed to this process is its file descriptor 3", () => {
  assert.equal(inheritedSocket({ LISTEN_PID: "77", LISTEN_FDS: "1" }, 77), 3);
});

test("none is found where none was handed over, or to another process", () => {
  for (const environment of [
    {},
    { LISTEN_PID: "77", LISTEN_FDS: "0" },
    { LISTEN_PID: "77" },
    { LISTEN_PID: "78", LISTEN_FDS: "1" },
    { LISTEN_FDS: "1" },
  ]) {
    assert.equal(inheritedSocket(environment, 77), undefined, JSON.stringify(environment));
  }
});

test("several are refused, since only one would be served", () => {
  assert.throws(() => inheritedSocket({ LISTEN_PID: "77", LISTEN_FDS: "2" }, 77), {
    code: "ERR_CONFIGURATION",
    message: /2 sockets.*one ListenStream/,
  });
});
