#!/usr/bin/env bash
# Builds a kubelet from Debian's source of Kubernetes, with Debian's Go: host/agent/tests/kubelet.sh FILE. Takes two minutes on two
# cores, once: it is kept in the cache. Installs nothing, and the machine's own package lists stay as they are.
set -euo pipefail
file=${1:?usage: host/agent/tests/kubelet.sh FILE}
version=1.20.2 # the last one that Debian has with all that it is built from
kept=${XDG_CACHE_HOME:-$HOME/.cache}/lightmon/kubelet-$version
here=$(cd "$(dirname "$0")" && pwd)

# build FILE: everything in a folder that is gone afterwards.
build() (
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    cd "$work"
    mkdir -p go gopath/src/k8s.io/kubernetes
    APT_CONFIG=$("$here/../../apt.sh" apt bookworm deb-src)
    export APT_CONFIG
    apt-get update -qq
    apt-get source -qq --download-only kubernetes
    apt-get download -qq golang-1.19-go golang-1.19-src
    for package in golang-*.deb; do
        dpkg-deb --extract "$package" go
    done
    cd gopath/src/k8s.io/kubernetes
    tar --extract --file "$work"/kubernetes_*.orig.tar.* --strip-components 1
    # Without the clouds and Docker, whose parts are half of it.
    export GOROOT=$work/go/usr/lib/go-1.19 GOPATH=$work/gopath GOCACHE=$work/gocache GOFLAGS=
    GO111MODULE=off GOPROXY=off CGO_ENABLED=0 "$GOROOT/bin/go" build -tags providerless,dockerless \
        -ldflags "-s -w -X k8s.io/kubernetes/vendor/k8s.io/component-base/version.gitVersion=v$version" -o "$1" ./cmd/kubelet
)

if [ ! -x "$kept" ]; then
    mkdir -p "$(dirname "$kept")"
    build "$kept.half"
    mv "$kept.half" "$kept"
fi
mkdir -p "$(dirname "$file")"
cp "$kept" "$file"
