#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs what is needed, builds, and runs every layer of tests.
#
#   sudo tests/run.sh              everything, as continuous integration does
#   sudo tests/run.sh --long       the same with more seeds, more kills, longer fuzzing
#   sudo tests/run.sh LAYER…       only these: tidy unit scenario e2e escape vm fuzz
#
# The last line is "N passed, N failed" (and how many were skipped, each with its reason above).
set -euo pipefail
cd "$(dirname "$0")/.."

layers=(tidy unit scenario e2e escape vm fuzz)
long=
want=()
for a in "$@"; do
    case "$a" in
    --long) long=1 ;;
    -h | --help) sed -n '4,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *)
        if [[ " ${layers[*]} " != *" $a "* ]]; then
            echo "run.sh: unknown layer '$a' (allowed: ${layers[*]}, --long)" >&2
            exit 2
        fi
        want+=("$a")
        ;;
    esac
done
[ "${#want[@]}" -gt 0 ] || want=("${layers[@]}")
if [ "$(id -u)" != 0 ]; then
    echo "run.sh: must be root: the tests make namespaces, cgroups and containers" >&2
    exit 2
fi
[ -z "$long" ] || export WHERRY_TEST_LONG=1

# Memory that sanitizers find leaked is a failure, and so is anything undefined.
export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
jobs=$(nproc)
out=build/tests
mkdir -p $out
passed=0 failed=0 skipped=0
began=$SECONDS

say() { printf '\n== %s (at %d s)\n' "$1" $((SECONDS - began)); }
wants() { [[ " ${want[*]} " == *" $1 "* ]]; }

# build PRESET [cmake options…]: quiet unless it fails; warnings are errors here.
build() {
    local preset=$1 log=$out/build-$1.log
    shift
    say "build $preset"
    if ! { cmake --preset "$preset" -DWHERRY_WERROR=ON "$@" && cmake --build --preset "$preset" -j "$jobs"; } >"$log" 2>&1; then
        grep -E -m 20 -A 6 'error|CMake Error|FAILED' "$log" || tail -n 40 "$log"
        echo "run.sh: the build of preset $preset failed; its log is $log" >&2
        failed=$((failed + 1))
        finish
    fi
}

# step NAME COMMAND…: one test by its exit code (77: skipped, it has said why).
step() {
    local name=$1 rc=0
    shift
    say "$name"
    "$@" || rc=$?
    case $rc in
    0) passed=$((passed + 1)) ;;
    77) skipped=$((skipped + 1)) ;;
    *) failed=$((failed + 1)); echo "run.sh: $name failed with exit code $rc" ;;
    esac
}

# layer PRESET LABEL [ctest options…]: everything that ctest has under this label.
layer() {
    local preset=$1 label=$2 junit
    junit=$PWD/$out/$1-$2.xml
    shift 2
    say "$label ($preset)"
    rm -f "$junit"
    ctest --test-dir "build/$preset" -L "^$label\$" --output-on-failure --no-tests=error \
        --output-junit "$junit" "$@" | grep -vE '^ *Start |^Internal|^$|^(Label|Total) ' || true
    local counts
    counts=$(python3 tests/lib/junit_counts.py "$junit") || counts='0 1 0'
    read -r p f s <<<"$counts"
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

finish() {
    printf '\n%d seconds in all\n' $((SECONDS - began))
    if [ "$skipped" -gt 0 ]; then
        printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
    else
        printf '%d passed, %d failed\n' "$passed" "$failed"
    fi
    [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
    exit
}

deploy/install-deps.sh --tests

if wants tidy || wants vm; then
    build release
fi
if wants tidy; then
    step 'tidy --self-test' tests/tidy --self-test
    step tidy tests/tidy build/release
fi
if wants unit || wants scenario || wants e2e || wants escape; then
    build asan
fi
! wants unit || layer asan unit -j "$jobs"
! wants scenario || layer asan scenario -j "$jobs"
! wants e2e || layer asan e2e
! wants escape || layer asan escape
if wants vm; then
    build dev
    step vm tests/vm/run
fi
if wants fuzz; then
    build fuzz
    layer fuzz fuzz -j "$jobs"
fi
finish
