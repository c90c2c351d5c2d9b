import { existsSync } from "node:fs";

/**
 * Where a distribution put a library that the set-up installs.
 *
 * @throws Error that names the package; a test that cannot run is no test that passed
 */
export function libraryPath(names: readonly string[], debianPackage: string): string {
  const directories = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
  const paths = directories.flatMap((directory) => names.map((name) => `${directory}/${name}`));
  const path = paths.find(existsSync);
  if (path === undefined)
    throw new Error(`Cannot find ${names[0]}: install ${debianPackage} (npm run setup does it)`);
  return path;
}
