#!/bin/sh
# Builds kubeseal and kustomize into PREFIX/bin, from the versions and checksums of tools/go.mod.
# Usage: build-tools.sh PREFIX   Needs Go on PATH; GOFLAGS, GOPROXY, GOCACHE are honored.
set -eu
mkdir -p "$1/bin"
prefix=$(cd "$1" && pwd)
cd "$(dirname "$0")/../../tools"

# Static, so that they run in any image; the Go at hand and no other.
export CGO_ENABLED=0 GOTOOLCHAIN=local GOBIN="$prefix/bin"
exec go install -trimpath -ldflags '-s -w' tool
