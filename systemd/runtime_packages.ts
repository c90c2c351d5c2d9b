import { existsSync, readFileSync } from "node:fs";

/**
 * Prints the folders of the npm packages that the service needs on Node.js ≥ 22.18, one a line, from the project's
 * folder: no compiler and nothing of development. What package-lock.json says decides, not what is installed.
 */

/** What runs the sources where Node.js cannot do so by itself. */
const LOADER = "tsx";

interface LockedPackage {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const locked: Readonly<Record<string, LockedPackage>> = JSON.parse(
  readFileSync("package-lock.json", "utf8"),
).packages;

/** Where Node.js finds a package that another one names: the nearest node_modules (nodejs.org, "Modules"). */
function locate(name: string, from: string): string | undefined {
  for (let folder = from; ; folder = folder.slice(0, Math.max(folder.lastIndexOf("/node_modules/"), 0))) {
    const path = `${folder === "" ? "" : `${folder}/`}node_modules/${name}`;
    if (path in locked) return path;
    if (folder === "") return undefined;
  }
}

const needed = new Set<string>();
const pending = [""];
for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
  const { dependencies = {}, optionalDependencies = {} } = locked[path] ?? {};
  for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
    const found = path === "" && name === LOADER ? undefined : locate(name, path);
    if (found === undefined || needed.has(found)) continue;
    needed.add(found);
    pending.push(found);
  }
}

const missing = [...needed].filter((path) => !existsSync(path));
if (missing.length > 0) {
  process.stderr.write(`Missing: ${missing.join(", ")}. Run npm ci --omit=dev first.\n`);
  process.exit(1);
}
// A folder brings along what is inside it.
const folders = [...needed].filter((path) => ![...needed].some((other) => path.startsWith(`${other}/`)));
process.stdout.write(folders.map((path) => `${path}\n`).join(""));
