#!/usr/bin/env bash
# Coverage-guided fuzzing with libFuzzer, on the stable compiler of this repository. Needs a C++ compiler.
#
#   tests/fuzz/run.sh build                  compiles, instrumented
#   tests/fuzz/run.sh grow TARGET SECONDS    looks for inputs that reach something new; what it finds is in tests/fuzz/work
#   tests/fuzz/run.sh keep TARGET            keeps a small set of them that reaches the same in tests/corpus/TARGET/grown
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
host="$(rustc -vV | sed -n 's/^host: //p')"
target="${CARGO_TARGET_DIR:-$PWD/target}"
program="$target/$host/release/fuzz-deep"
limits=(-max_len=2048 -timeout=30 -rss_limit_mb=2500)

build() {
    if ! command -v c++ >/dev/null; then
        printf 'a C++ compiler (c++) is missing: libFuzzer is compiled from its sources\n' >&2
        exit 1
    fi
    # With --target the flags are for the program alone, not for what runs while it is compiled.
    RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares" \
        cargo build --locked --release --target "$host" --target-dir "$target"
}

known() {
    rm -rf "work/$1/known"
    mkdir -p "work/$1/known" "work/$1/grown"
    QIANMO_FUZZ="$1" QIANMO_FUZZ_KNOWN="work/$1/known" "$program" 2>/dev/null
}

grow() {
    known "$1"
    QIANMO_FUZZ="$1" "$program" "work/$1/grown" "work/$1/known" \
        -max_total_time="$2" "${limits[@]}" -print_final_stats=1 -artifact_prefix="work/$1/"
}

keep() {
    known "$1"
    rm -rf "work/$1/kept"
    mkdir -p "work/$1/kept"
    QIANMO_FUZZ="$1" "$program" -set_cover_merge=1 "${limits[@]}" "work/$1/kept" "work/$1/known" "work/$1/grown" \
        >"work/$1/keep.log" 2>&1
    QIANMO_FUZZ="$1" QIANMO_FUZZ_KEEP="work/$1/kept" "$program" 2>/dev/null
}

case "${1:-}" in
    build) build ;;
    grow) grow "$2" "$3" ;;
    keep) keep "$2" ;;
    *) sed -n '2,6p' "$0"; exit 2 ;;
esac
