#!/bin/sh
# Installs what is missing, and nothing else. The npm scripts call it first, so that each of them is complete
# on a machine that has Node.js and npm only; where nothing is missing it says nothing and takes an instant.
#
#   sh dev/setup.sh packages   the npm packages, and the compiler that pkcs11js needs when it has to be built
#   sh dev/setup.sh demo       and SoftHSM2 and OpenSSL
#   sh dev/setup.sh browser    and the outside verifiers, and Chromium
#   sh dev/setup.sh test       and the outside verifiers, pkcs11-spy, p11-kit, a C compiler (the default), and the
#                              runtimes of dev/runtimes
#   sh dev/setup.sh systemd    and what makes and boots a machine with a systemd of its own
#
# What is missing is found by looking for the command or file, not by asking the package manager: that takes
# no time and accepts what was installed in another way.
set -eu
cd "$(dirname "$0")/.."

mode=${1:-test}
addon=node_modules/pkcs11js/build/Release/pkcs11.node
# Our own, which npm builds together with the packages.
own_addon=build/Release/hsm_sign.node
runtimes=dev/runtimes
missing=''

if command -v apt-get >/dev/null 2>&1; then
  manager=apt
elif command -v dnf >/dev/null 2>&1; then
  # Amazon Linux 2023 and Fedora. By the book: the names were looked up, the branch was not run.
  manager=dnf
else
  manager=none
fi

say() {
  printf 'setup: %s\n' "$1" >&2
}

fail() {
  say "$1"
  exit 1
}

require_node() {
  command -v node >/dev/null 2>&1 || fail 'Node.js 20.19 or later is needed, and there is no node command.'
  command -v npm >/dev/null 2>&1 || fail 'npm is needed beside Node.js, and there is no npm command.'
  # In words that every version of Node understands.
  node -e 'var v = process.versions.node.split("."); process.exit(+v[0] > 20 || (+v[0] === 20 && +v[1] >= 19) ? 0 : 1)' ||
    fail "Node.js 20.19 or later is needed; this is $(node -p process.version)."
}

# npm writes down what it installed in node_modules/.package-lock.json. Where that agrees with package-lock.json,
# whoever installed it, nothing is to be done: a package left out must be optional (another platform's binary).
# The dollar signs in it are JavaScript's.
#
# installed_as_locked <folder of package-lock.json>
# shellcheck disable=SC2016
installed_as_locked() {
  node -e '
    process.chdir(process.argv[1]);
    const { existsSync, readFileSync } = require("node:fs");
    const read = (path) => JSON.parse(readFileSync(path, "utf8")).packages;
    const locked = read("package-lock.json");
    const installed = read("node_modules/.package-lock.json");
    const agrees = (path) => {
      const [want, have] = [locked[path], installed[path]];
      if (!have) return path === "" || want.optional === true;
      return want?.version === have.version && want.integrity === have.integrity && existsSync(`${path}/package.json`);
    };
    process.exit([...Object.keys(locked), ...Object.keys(installed)].every(agrees) ? 0 : 1);
  ' "$1" 2>/dev/null
}

is_own_addon_new() {
  [ -f "$own_addon" ] && [ -z "$(find binding.gyp lib/native -type f -newer "$own_addon")" ]
}

# need <apt package> <dnf package>
need() {
  if [ "$manager" = dnf ]; then missing="$missing $2"; else missing="$missing $1"; fi
}

# need_command <command> <apt package> <dnf package>
need_command() {
  command -v "$1" >/dev/null 2>&1 || need "$2" "$3"
}

any_file() {
  for path in "$@"; do
    if [ -e "$path" ]; then return 0; fi
  done
  return 1
}

need_compiler_for_npm() {
  need_command python3 python3 python3
  need_command make make make
  need_command g++ g++ gcc-c++
}

need_token() {
  need_command softhsm2-util softhsm2 softhsm
  need_command openssl openssl openssl
}

need_verifiers() {
  need_command certtool gnutls-bin gnutls-utils
  need_command pdfsig poppler-utils poppler-utils
  need_command qpdf qpdf qpdf
  need_command mutool mupdf-tools mupdf
}

need_test_tools() {
  any_file /usr/lib/*/pkcs11-spy.so /usr/lib*/pkcs11-spy.so /usr/lib*/pkcs11/pkcs11-spy.so || need opensc-pkcs11 opensc
  need_command p11-kit p11-kit p11-kit
  any_file /usr/lib/*/pkcs11/p11-kit-client.so /usr/lib*/pkcs11/p11-kit-client.so || need p11-kit-modules p11-kit-server
  need_command cc gcc gcc
  any_file /usr/include/stdlib.h || need libc6-dev glibc-devel
  any_file /usr/lib/python3*/*-packages/prometheus_client/openmetrics/parser.py ||
    need python3-prometheus-client python3-prometheus_client
}

need_machine_tools() {
  need_command systemd-nspawn systemd-container systemd-container
  need_command mmdebstrap mmdebstrap mmdebstrap
  need_command ip iproute2 iproute
}

find_missing() {
  missing=''
  [ "$has_npm_packages" = yes ] && [ "$has_own_addon" = yes ] || need_compiler_for_npm
  [ "$mode" = packages ] || need_token
  case $mode in test | browser | systemd) need_verifiers ;; esac
  case $mode in test | systemd) need_test_tools ;; esac
  [ "$mode" != browser ] || any_file /usr/bin/chromium /usr/bin/chromium-browser || need chromium chromium
  [ "$mode" != systemd ] || need_machine_tools
  missing=${missing# }
}

# The words before a command that only root may run; fails where nothing makes us root without a question.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    echo env
  elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    echo 'sudo -n env'
  else
    return 1
  fi
}

install_command() {
  case $manager in
    apt) echo "sudo apt-get update && sudo apt-get install -y --no-install-recommends $missing" ;;
    dnf) echo "sudo dnf install -y $missing" ;;
  esac
}

# The lists of names are meant to fall apart into words.
# shellcheck disable=SC2086
install_missing() {
  [ "$manager" != none ] || fail "Install these, under the names that your system has for them: $missing"
  if ! root=$(as_root); then
    say 'Some packages are missing, and only root may install them. Run this, then try again:'
    printf '\n  %s\n\n' "$(install_command)" >&2
    exit 1
  fi
  say "installing $missing"
  if [ "$manager" = apt ]; then
    # One repository that cannot be reached need not matter: the installation decides.
    $root apt-get -qq update </dev/null >/dev/null || say 'apt-get update had errors; going on without it'
    $root DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends $missing \
      </dev/null >/dev/null || fail "Cannot install the packages. By hand: $(install_command)"
  else
    $root dnf -q install -y $missing </dev/null >/dev/null ||
      fail "Cannot install the packages. By hand: $(install_command)"
  fi
}

use_node_headers() {
  prefix=$(node -p 'require("node:path").resolve(process.execPath, "../..")')
  # node-gyp downloads Node's headers unless it is told where they are; most installations have brought them.
  if [ -f "$prefix/include/node/node_api.h" ]; then
    export npm_config_nodedir="$prefix"
  fi
}

install_npm_packages() {
  say 'installing the npm packages (pkcs11js is compiled: this takes a little while)'
  use_node_headers
  # With NODE_ENV=production npm would leave out the compiler and the linter.
  npm ci --include=dev --no-audit --no-fund --loglevel=error </dev/null >/dev/null ||
    fail 'Cannot install the npm packages; npm says why above.'
  [ -f "$addon" ] && [ -f "$own_addon" ] ||
    fail 'npm did not build the addons: are install scripts switched off (npm config get ignore-scripts)?'
}

# An optional package that could not be had is no failure to npm, and one that is for no machine like this is none.
install_runtimes() {
  say 'installing the newest Node.js and Deno for the tests'
  if ! npm ci --prefix "$runtimes" --no-audit --no-fund --loglevel=error </dev/null >/dev/null ||
    ! sh "$runtimes/run" node --version >/dev/null || ! sh "$runtimes/run" deno --version >/dev/null; then
    say 'npm run test:newest-node and test:deno cannot be run: one of the two is missing.'
    # To be tried again.
    rm -rf "$runtimes/node_modules"
  fi
}

build_own_addon() {
  say 'building the addon'
  use_node_headers
  npm run --silent build:native </dev/null >/dev/null 2>&1 || fail 'Cannot build the addon: npm run build:native says why.'
  touch "$own_addon"
}

case $mode in
  packages | demo | browser | test) ;;
  systemd) [ "$(id -u)" -eq 0 ] || fail 'Only root can boot a machine: sudo npm run test:systemd' ;;
  *) fail "\"$mode\" is not packages, demo, browser, test or systemd." ;;
esac
require_node
if [ -f "$addon" ] && installed_as_locked .; then has_npm_packages=yes; else has_npm_packages=no; fi
if is_own_addon_new; then has_own_addon=yes; else has_own_addon=no; fi
find_missing
if [ -n "$missing" ]; then
  install_missing
  find_missing
  [ -z "$missing" ] || fail "Installed, and yet not found: $missing"
fi
if [ "$has_npm_packages" = no ]; then
  install_npm_packages
elif [ "$has_own_addon" = no ]; then
  build_own_addon
fi
if [ "$mode" = test ] && ! installed_as_locked "$runtimes"; then install_runtimes; fi
