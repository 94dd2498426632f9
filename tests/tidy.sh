#!/usr/bin/env bash
# clang-tidy over our sources, with the checks of .clang-tidy. Minutes for the whole tree, so tests/run.sh leaves it out.
#   tests/tidy.sh [FILE...]      default: every .cpp; needs a configured build/ (cmake --preset release)
# Exit 1 where something is found.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command -v clang-tidy > /dev/null || { echo "tidy.sh: clang-tidy is missing: apt-get install clang-tidy" >&2; exit 2; }
[[ -f build/compile_commands.json ]] || { echo "tidy.sh: no build/compile_commands.json: run cmake --preset release" >&2; exit 2; }

# clang cannot read g++'s precompiled header, nor a few of its flags.
database=$(mktemp -d)
trap 'rm -rf "$database"' EXIT
sed -E 's# -Winvalid-pch -include [^ ]*cmake_pch.hxx##; s# -fpch-preprocess# -Wno-unknown-warning-option#; s#"command": "[^"]*ccache #"command": "#' \
  build/compile_commands.json > "$database/compile_commands.json"

files=("$@")
if [[ ${#files[@]} -eq 0 ]]; then
  mapfile -t files < <(git ls-files '*.cpp')
fi
output=$(printf '%s\0' "${files[@]}" | xargs -0 -P "$(nproc)" -n 1 clang-tidy -p "$database" --quiet 2> /dev/null) || true
# A header is reported once for every file that includes it.
if grep -q '\[.*-warnings-as-errors\]\|error:' <<< "$output"; then
  grep -E '^[^ ].*(warning|error):' <<< "$output" | sort -u
  exit 1
fi
echo "clang-tidy: ${#files[@]} files, nothing found"
