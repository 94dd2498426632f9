#!/usr/bin/env bash
# The repository's own check: the scripts parse, and a known article has its price.
set -e
cd "$(dirname "$0")"
bash -n service.sh
[[ $(./service.sh article-1) == 107 ]]
