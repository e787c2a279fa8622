#!/bin/sh
# Builds the Pulumi engine into PREFIX: the CLI, the Python language host, and the providers random, docker and command.
#
#   engine/build.sh PREFIX
#
# PREFIX appears whole at the end or not at all. Two builds of one PREFIX may run at once: the first to end wins.
# Modules come from wherever this machine's Go gets modules; go.sum decides what they contain.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
steps=6
step=0
began=$(date +%s)

main() {
    if [ $# -ne 1 ] || [ -z "$1" ]; then
        stop "usage: engine/build.sh PREFIX"
    fi
    mkdir -p -- "$(dirname -- "$1")"
    prefix=$(CDPATH='' cd -- "$(dirname -- "$1")" && pwd)/$(basename -- "$1")
    if [ -d "$prefix" ]; then
        say "$prefix is there already; remove it to build it again."
        exit 0
    fi

    require_go
    remove_abandoned
    new=$prefix.new.$$
    running=
    trap 'kill $running 2>/dev/null || :; rm -rf -- "$new"' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    mkdir -p -- "$new/bin" "$new/built"

    # Plain static binaries, the same from every folder, without debug tables: half the size and link time.
    CGO_ENABLED=0
    export CGO_ENABLED

    cli=github.com/pulumi/pulumi/pkg/v3
    sdk=github.com/pulumi/pulumi/sdk/v3
    host=$sdk/python/cmd/pulumi-language-python

    begin "fetching the Go modules (about 1 minute)"
    packages pulumi "$cli/cmd/pulumi" ./cmd/pulumi-resource-random ./cmd/pulumi-resource-docker
    packages command .
    packages language-python "$host"

    # One build for the three that share a go.mod: most of their packages are the same.
    begin "building the Pulumi CLI and the providers random and docker (about 8 minutes on 2 cores)"
    version=$(in_module pulumi go list -m -f '{{.Version}}' "$cli")
    build pulumi "-X $sdk/go/common/version.Version=$version" "$new/built/" \
        "$cli/cmd/pulumi" ./cmd/pulumi-resource-random ./cmd/pulumi-resource-docker

    begin "building the command provider (about 1 minute)"
    build command "" "$new/built/pulumi-resource-command" .

    begin "building the Python language host (about 1 minute)"
    build language-python "" "$new/built/" "$host"

    begin "installing the plugins"
    exec=$(in_module pulumi go list -m -f '{{.Dir}}' "$sdk")/python/cmd/pulumi-language-python-exec
    cp -- "$exec" "$new/bin/"
    mv -- "$new/built/pulumi" "$new/built/pulumi-language-python" "$new/bin/"
    chmod 0755 "$new/bin"/*
    for provider in random docker command; do
        plugin=$new/built/pulumi-resource-$provider
        PULUMI_HOME=$new PULUMI_SKIP_UPDATE_CHECK=true "$new/bin/pulumi" plugin install \
            resource "$provider" "$("$plugin" -version)" --file "$plugin" >"$new/built/log" 2>&1 ||
            stop "pulumi plugin install $provider failed:" "$(cat "$new/built/log")"
    done
    rm -rf -- "$new/built"

    begin "putting it in place"
    put_in_place
    say "done in $(elapsed) s: $prefix"
}

# put_in_place is one rename. mv into a folder that another build has put there meanwhile would go one level too
# deep; what lands there is the same engine once more, and is removed.
put_in_place() {
    [ -d "$prefix" ] || mv -- "$new" "$prefix"
    rm -rf -- "${prefix:?}/$(basename -- "$new")"
}

# require_go looks for a Go that can build every module here. A Go from 1.21 on fetches a newer one by itself where a
# go.mod asks for it, unless GOTOOLCHAIN=local forbids it.
require_go() {
    required=$(awk '$1 == "go" { print $2 }' "$here"/*/go.mod | sort -t . -k 1,1n -k 2,2n -k 3,3n | tail -n 1)
    command -v go >/dev/null 2>&1 ||
        stop "The Pulumi engine is built with Go, and there is no go on PATH." \
            "Install Go $required or newer (or Pulumi itself, then nothing needs building)."
    found=$(cd / && GOTOOLCHAIN=local go env GOVERSION)
    found=${found#go}
    if at_least "$found" "$required"; then
        return
    fi
    if at_least "$found" 1.21 && [ "$(cd / && go env GOTOOLCHAIN)" != local ]; then
        say "Go $found is older than the $required that engine/ needs: go fetches that one by itself."
        return
    fi
    stop "The Pulumi engine needs Go $required or newer, and the go on PATH is $found." \
        "Install a newer Go and put it first on PATH (or install Pulumi itself, then nothing needs building)."
}

at_least() {
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -t . -k 1,1n -k 2,2n -k 3,3n | head -n 1)" = "$2" ]
}

# remove_abandoned removes what builds that were killed left beside the prefix.
remove_abandoned() {
    for left in "$prefix".new.*; do
        if [ -d "$left" ] && ! kill -0 "${left##*.}" 2>/dev/null; then
            rm -rf -- "$left"
        fi
    done
}

# packages fetches what the build of the given packages needs, and nothing that only tests need.
packages() {
    module=$1
    shift
    in_module "$module" go list -deps "$@" >>"$new/built/packages" 2>"$new/built/log" ||
        stop "Go could not fetch the modules of engine/$module:" "$(tail -n 20 "$new/built/log")" \
            "Check that this machine reaches the Go module proxy that \`go env GOPROXY\` names."
}

# build compiles packages and says every half minute how many are done. The compiler runs in the background, so that a
# signal to this script ends it at once.
build() {
    module=$1 flags=$2 out=$3
    shift 3
    : >"$new/built/log"
    report_progress &
    running=$!
    (cd -- "$here/$module" && exec go build -v -buildvcs=false -trimpath -ldflags "-s -w $flags" -o "$out" "$@") \
        2>"$new/built/log" &
    compiler=$!
    running="$running $compiler"
    status=0
    wait "$compiler" || status=$?
    # shellcheck disable=SC2086  # two process ids
    kill $running 2>/dev/null || :
    running=
    [ "$status" -eq 0 ] ||
        stop "go build failed in engine/$module:" \
            "$(grep -v -x -F -f "$new/built/packages" "$new/built/log" | tail -n 40)"
}

report_progress() {
    last=0
    while sleep 30 >/dev/null 2>&1 && kill -0 $$; do
        count=$(wc -l <"$new/built/log")
        [ "$count" -eq "$last" ] || say "      $count packages compiled ($(elapsed) s)"
        last=$count
    done
}

in_module() (
    cd -- "$here/$1"
    shift
    "$@"
)

begin() {
    step=$((step + 1))
    say "[$step/$steps] $1 ... ($(elapsed) s)"
}

elapsed() {
    echo $(($(date +%s) - began))
}

say() {
    printf '%s\n' "$*" >&2
}

stop() {
    printf '%s\n' "$@" >&2
    exit 1
}

main "$@"
