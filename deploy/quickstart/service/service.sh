#!/usr/bin/env bash
# Answers one request: the price of an article. Exit 1 where it is not known.
#   service.sh ARTICLE
cd "$(dirname "$0")" || exit 2
. ./settings.conf

find_price() {
  local article price
  while read -r article price; do
    if [[ $article == "$1" ]]; then echo "$price"; return; fi
  done < <(head -n "$rows" "$prices")
}

price=$(find_price "$1")
[[ -n $price ]] && echo "$price"
