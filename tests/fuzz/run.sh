#!/usr/bin/env bash
# Coverage-guided fuzzing with libFuzzer, on the stable compiler of this repository. Needs a C++ compiler.
#
#   tests/fuzz/run.sh build              compiles, instrumented
#   tests/fuzz/run.sh grow TARGET SECONDS  looks for inputs that reach new code; what it finds is in tests/fuzz/work
#   tests/fuzz/run.sh keep TARGET [BYTES]  replaces tests/corpus/TARGET/grown-* by the smallest set that reaches the same
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
repository="$(cd ../.. && pwd)"
host="$(rustc -vV | sed -n "s/^host: //p")"
target="${CARGO_TARGET_DIR:-$PWD/target}"
program="$target/$host/release/fuzz-deep"

build() {
    if ! command -v c++ >/dev/null; then
        printf 'a C++ compiler (c++) is missing: libFuzzer is compiled from its sources\n' >&2
        exit 1
    fi
    RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares" \
        cargo build --release --target "$host" --target-dir "$target"
}

# The seeds that the program makes itself, and the corpus.
inputs() {
    mkdir -p "work/$1/seeds" "work/$1/grown" "$repository/tests/corpus/$1"
    QIANMO_FUZZ="$1" QIANMO_FUZZ_SEEDS="work/$1/seeds" "$program" -runs=0 >/dev/null 2>&1
}

grow() {
    inputs "$1"
    QIANMO_FUZZ="$1" "$program" "work/$1/grown" "work/$1/seeds" "$repository/tests/corpus/$1" \
        -max_total_time="$2" -max_len="${3:-4096}" -timeout=20 -rss_limit_mb=3000 -reload=0 -print_final_stats=1 \
        -artifact_prefix="work/$1/"
}

keep() {
    inputs "$1"
    rm -rf "work/$1/kept"
    mkdir -p "work/$1/kept"
    # What the seeds reach anyway is not kept: they come first.
    cp "work/$1/seeds/"* "work/$1/kept/"
    QIANMO_FUZZ="$1" "$program" -merge=1 -max_len="${2:-2048}" -rss_limit_mb=3000 -timeout=20 \
        "work/$1/kept" "work/$1/grown" "$repository/tests/corpus/$1" >"work/$1/merge.log" 2>&1
    rm -f "$repository/tests/corpus/$1/grown-"*
    for file in "work/$1/kept/"*; do
        name="${file##*/}"
        case "$name" in
            seed-*) ;;
            *) cp "$file" "$repository/tests/corpus/$1/grown-${name:0:16}" ;;
        esac
    done
    ls "$repository/tests/corpus/$1" | wc -l
}

case "${1:-}" in
    build) build ;;
    grow) grow "$2" "$3" "${4:-4096}" ;;
    keep) keep "$2" "${3:-2048}" ;;
    *) sed -n '2,7p' "$0"; exit 2 ;;
esac
