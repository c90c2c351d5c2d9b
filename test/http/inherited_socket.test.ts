import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import { PROJECT } from "../../dev/service_process.ts";
import { HttpServer } from "../../lib/http/http_server.ts";
import { moduleCommand } from "../support/module_command.ts";
import { recordingLog } from "../support/recording_log.ts";
import { temporaryDirectory } from "../support/temporary.ts";

/** Serves on its file descriptor 3, says where that is, and stops when its input ends. */
const HEIR = `
  import { HttpServer } from "./lib/http/http_server.ts";
  const handler = async () => ({ status: 204, headers: {} });
  const options = { host: "203.0.113.1", port: 1, socket: 3, maxBodyBytes: 1, handler, log: () => {} };
  const server = await HttpServer.listen(options);
  console.log(JSON.stringify({ url: server.url, address: server.address }));
  process.stdin.once("end", () => server.stop(0)).resume();`;

const heirs: ChildProcess[] = [];
after(() => heirs.forEach((heir) => void heir.stdin?.end()));

/** A service manager: listens on a path, or on loopback where that is empty, and becomes the program. */
const MANAGER = `
import os, socket, sys
path, *program = sys.argv[1:]
listening = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
listening.bind(path or ("127.0.0.1", 0))
listening.listen()
os.dup2(listening.fileno(), 3)
os.set_inheritable(3, True)
os.execvp(program[0], program)`;

/** A process that is handed a listening socket, and what it knows of it. */
async function inherited(path = ""): Promise<unknown> {
  const { program, args } = moduleCommand(HEIR);
  const heir = spawn("/usr/bin/python3", ["-c", MANAGER, path, program, ...args], {
    cwd: PROJECT,
    stdio: ["pipe", "pipe", "inherit"],
  });
  heirs.push(heir);
  if (heir.stdout === null) return undefined;
  const [line] = await once(createInterface(heir.stdout), "line");
  return JSON.parse(line);
}

test("a socket that listens already is taken in place of an address and a port", async () => {
  const { url, address } = Object(await inherited());
  assert.match(url, /^http:\/\/127\.0\.0\.1:\d+$/);
  assert.equal(address, "127.0.0.1");
  assert.equal((await fetch(url)).status, 204);
});

test("a Unix socket has no IP address", async () => {
  assert.deepEqual(await inherited(join(temporaryDirectory(), "socket")), { url: "a Unix socket" });
});

test("what cannot be listened on is refused", async () => {
  const options = { host: "127.0.0.1", port: 0, maxBodyBytes: 1, log: recordingLog().log };
  const handler = async (): Promise<never> => assert.fail();
  await assert.rejects(HttpServer.listen({ ...options, handler, socket: 999_999 }), { code: /^E[A-Z]+$/ });
});
