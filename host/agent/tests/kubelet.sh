#!/usr/bin/env bash
# Builds a kubelet from Debian's Kubernetes source with Debian's Go: host/agent/tests/kubelet.sh FILE. The first build takes two minutes on
# two cores; later calls copy it from ~/.cache/lightmon. Installs no package and does not change the package lists of the machine.
set -euo pipefail
file=${1:?usage: host/agent/tests/kubelet.sh FILE}
version=1.20.2 # the newest version whose complete source Debian has
cached=${XDG_CACHE_HOME:-$HOME/.cache}/lightmon/kubelet-$version
here=$(cd "$(dirname "$0")" && pwd)

# build FILE: works in a temporary folder.
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
    # Without cloud providers and Docker: they are half of the code.
    export GOROOT=$work/go/usr/lib/go-1.19 GOPATH=$work/gopath GOCACHE=$work/gocache GOFLAGS=
    GO111MODULE=off GOPROXY=off CGO_ENABLED=0 "$GOROOT/bin/go" build -tags providerless,dockerless \
        -ldflags "-s -w -X k8s.io/kubernetes/vendor/k8s.io/component-base/version.gitVersion=v$version" -o "$1" ./cmd/kubelet
)

if [ ! -x "$cached" ]; then
    mkdir -p "$(dirname "$cached")"
    build "$cached.partial"
    mv "$cached.partial" "$cached"
fi
mkdir -p "$(dirname "$file")"
cp "$cached" "$file"
