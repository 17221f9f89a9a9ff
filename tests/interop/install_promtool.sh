#!/bin/sh
# Takes promtool out of Debian's package of Prometheus, into the folder that is named, unless there is one on the path. Nothing is installed:
# the package would start a Prometheus on this machine.
set -eu

folder=$1
if command -v promtool >/dev/null || [ -x "$folder/usr/bin/promtool" ]; then
    exit 0
fi
mkdir -p "$folder"
cd "$folder"
if ! { apt-get update -qq && apt-get download -qq prometheus; } >apt.log 2>&1; then
    tail -n 5 apt.log >&2
    echo "promtool is needed and could not be fetched with apt-get (see above). Put it on the path, from https://prometheus.io/download, and run the same command again." >&2
    exit 1
fi
dpkg-deb -x prometheus_*.deb .
rm -f prometheus_*.deb apt.log
