# shellcheck shell=bash
# Brings a Debian machine to where a script can work, and touches nothing when it is there already:
# then no package manager is started and no network is used. Sourced; call:
#
#   setup_packages build tests    what these lists name and the machine lacks
#   setup_modules chain hardhat   what tests/FOLDER/package-lock.json pins; chain is the node, the compiler and
#                                 the reference client of all tests
#
# A package counts as there when its probe succeeds, whoever installed it: so a vendor's node or
# clang serves as well as Debian's, and nothing conflicting is put beside it.

say() { printf '%s\n' "$*" >&2; }
die() {
    say "$@"
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# ---- probes: what a package is wanted for ----------------------------------------------------

lib() { pkg-config --exists "$1" 2>/dev/null; }
header() { echo "#include <$1>" | gcc -E -x c - >/dev/null 2>&1; }
# Debian's packages of Python modules belong to this interpreter, never to another one in PATH.
python() { /usr/bin/python3 -c "import $1" >/dev/null 2>&1; }
clang_runtime() { compgen -G "$(clang -print-resource-dir 2>/dev/null)/lib/*/libclang_rt.fuzzer*.a" >/dev/null; }
postgres_server() { compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || have initdb; }
fonts() { compgen -G '/usr/share/fonts/*/*/DejaVuSans.ttf' >/dev/null; }
certificates() { [ -s /etc/ssl/certs/ca-certificates.crt ]; }

# One row a package: its name, then its probe.
declare -A packages
packages[build]='
gcc                     have gcc
libc6-dev               header stdio.h
pkg-config              have pkg-config
meson                   have meson
ninja-build             have ninja
python3                 test -x /usr/bin/python3
libcurl4-openssl-dev    lib libcurl
libcjson-dev            lib libcjson
libyaml-dev             lib yaml-0.1
libpq-dev               lib libpq
libsqlite3-dev          lib sqlite3
libwebsockets-dev       lib libwebsockets
libcmocka-dev           lib cmocka
libgmp-dev              header gmp.h
libssl-dev              lib libcrypto
'
packages[chain]='
nodejs                  have node
npm                     have npm
ca-certificates         certificates
'
packages[tests]='
clang                   have clang
libclang-rt-dev         clang_runtime
postgresql              postgres_server
pgbouncer               test -x /usr/sbin/pgbouncer
python3-pytest          python pytest
python3-aiohttp         python aiohttp
python3-psycopg2        python psycopg2
strace                  have strace
'
packages[all]='
git                     have git
clang-tidy              have clang-tidy
clang-format            have clang-format
valgrind                have valgrind
shellcheck              have shellcheck
mandoc                  have mandoc
chromium                have chromium
fonts-dejavu-core       fonts
prometheus              have promtool && have prometheus
'

packages[geth]='
python3-pip             python pip
ca-certificates         certificates
'

missing_packages() {
    local list name probe
    for list in "$@"; do
        while read -r name probe; do
            # Rows are ours, so they may be run as they stand.
            [ -z "$name" ] || eval "$probe" </dev/null || printf '%s ' "$name"
        done <<<"${packages[$list]}"
    done
}

# The one command line that installs them; printed as it is to those who must run it themselves.
install_line() {
    case " $* " in
    *' postgresql '*)
        # Without this Debian creates a cluster of its own and starts it; the tests bring theirs.
        printf '%s' 'test -e /etc/postgresql-common/createcluster.conf ||' \
            ' { mkdir -p /etc/postgresql-common &&' \
            ' echo create_main_cluster = false > /etc/postgresql-common/createcluster.conf; } && '
        ;;
    esac
    case " $* " in
    *' prometheus '*)
        # Nor a Prometheus: a masked service is installed and not started.
        printf '%s' 'test -e /etc/systemd/system/prometheus.service ||' \
            ' { mkdir -p /etc/systemd/system &&' \
            ' ln -s /dev/null /etc/systemd/system/prometheus.service; } && '
        ;;
    esac
    printf 'apt-get %s update && apt-get %s --yes --no-install-recommends install %s' \
        "$apt_options" "$apt_options -o Dpkg::Options::=--force-confold" "$*"
}
apt_options='-q -o Acquire::Retries=2 -o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30'

setup_packages() {
    local missing line log
    missing=$(missing_packages "$@")
    missing=${missing% }
    [ -n "$missing" ] || return 0
    have apt-get || die "missing: $missing (Debian's names), and there is no apt-get to install them with"
    # Word splitting is meant: one argument a package.
    # shellcheck disable=SC2086
    line=$(install_line $missing)
    log=$(mktemp /tmp/trueup-setup.XXXXXX)
    if [ "$(id -u)" = 0 ]; then
        say "installing: $missing"
        DEBIAN_FRONTEND=noninteractive sh -c "$line" </dev/null >"$log" 2>&1
    elif have sudo && { sudo -n true 2>/dev/null || { [ -t 0 ] && sudo true; }; }; then
        say "installing with sudo: $missing"
        # shellcheck disable=SC2024 # the log is ours, not root's
        sudo env DEBIAN_FRONTEND=noninteractive sh -c "$line" </dev/null >"$log" 2>&1
    else
        rm -f "$log"
        die "missing packages; as root, run: $line"
    fi
    missing=$(missing_packages "$@")
    if [ -n "$missing" ]; then
        die "missing and not to be had (offline?): ${missing% } (what apt-get said: $log)"
    fi
    rm -f "$log"
}

# npm's packages, as the lock file pins them; none of them runs a script of its own here.
#
# The node's binary is named directly, not by way of the package that picks one for the platform:
# npm leaves out an optional package that asks for a newer Node than Debian's 18, although a native
# binary asks for none. Other machines than x64 get theirs by the same exact version.
setup_modules() {
    local name
    node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 18 ? 0 : 1)' ||
        die "node $(node --version) is too old: 18 or later is needed"
    for name in "$@"; do
        setup_module "$ROOT/tests/$name"
    done
}

setup_module() {
    local folder=$1 log version force=()
    cmp -s "$folder/package-lock.json" "$folder/node_modules/.installed-lock.json" && return 0
    log=$(mktemp /tmp/trueup-setup.XXXXXX)
    say "fetching the npm packages of tests/${folder##*/}: $(node -p 'require(process.argv[1]).description' "$folder/package.json")"
    [ "$(uname -m)" = x86_64 ] || force=(--force)
    if ! {
        cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund "${force[@]}" &&
            if [ "$(uname -m)" = aarch64 ] && [ "${folder##*/}" = chain ]; then
                version=$(node -p 'require("./package.json").dependencies["@foundry-rs/anvil-linux-amd64"]')
                npm install --no-save --force --ignore-scripts --no-audit --no-fund \
                    "@foundry-rs/anvil-linux-arm64@$version"
            fi && cd "$ROOT"
    } </dev/null >"$log" 2>&1; then
        die "missing and not to be had (offline?): the npm packages of $folder (what npm said: $log)"
    fi
    cp "$folder/package-lock.json" "$folder/node_modules/.installed-lock.json"
    rm -f "$log"
}
