#!/usr/bin/env bash
# Prints a block of SQL of a page, with what belongs to one test put in: page_block.sh PAGE NUMBER ROLE, or page_block.sh PAGE count
#   ROLE: stands for the role `billing`, since roles belong to the whole server
set -euo pipefail
awk -v wanted="$2" '
  $0 == "```sql" { on = 1; number++; next }
  $0 == "```" { on = 0 }
  on && number == wanted
  END { if (wanted == "count") print number }' "$1" |
  sed -e "s/^create role billing login password '…'/create role ${3:-billing} login password 'secret'/"
