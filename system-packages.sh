#!/bin/sh
# Installs the Debian packages named that are missing, through apt when it may (as root, or by sudo without a password).
# Where it may not, it prints the one command to type and ends well: the caller goes on without them.
set -eu

missing=""
for package in "$@"; do
    case "$(dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null || true)" in
        *" installed") ;;
        *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "Please install with your system's package manager:$missing" >&2
    exit 0
fi
if [ "$(id -u)" = 0 ]; then
    as_root=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    echo "Some system packages are missing; to install them, type: sudo apt-get install$missing" >&2
    exit 0
fi
echo "Installing$missing through apt..."
# shellcheck disable=SC2086 - both are lists of words
if ! { DEBIAN_FRONTEND=noninteractive $as_root apt-get update -qq &&
       DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null; }; then
    echo "apt could not install them; to try yourself, type: sudo apt-get install$missing" >&2
fi
