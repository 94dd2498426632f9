#!/usr/bin/env bash
# Links between the pages of a folder: the file is there, and the heading. Prints those that lead nowhere.
#   tests/links.sh FOLDER [REGEX]     REGEX: targets that need not be there
# A heading is linked to in lower case, with hyphens for blanks and nothing else but letters and digits.
set -uo pipefail
cd "$1" || exit 1
elsewhere=${2:-^$}
bad=0
links_of() { # page: what its text, and not its code, links to, but for other hosts
  awk '/^```/ { code = !code; next } !code' "$1" | grep -o ']([^): ]*)' | sed 's/^](//; s/)$//'
}
anchors_of() { sed -n 's/^##* //p' "$1" | sed 's/.*/\L&/; s/[^a-z0-9 _-]//g; s/ /-/g'; }
while read -r page; do
  while read -r target; do
    [[ ! $target =~ $elsewhere ]] || continue
    file=$page anchor=
    [[ $target == '#'* ]] || file=$(dirname "$page")/${target%%#*}
    [[ $target != *'#'* ]] || anchor=${target#*#}
    if [[ ! -e $file ]]; then
      echo "$page: there is no $target"
      bad=1
    elif [[ -n $anchor ]] && ! anchors_of "$file" | grep -qxF -- "$anchor"; then
      echo "$page: $file has no heading \"$anchor\""
      bad=1
    fi
  done < <(links_of "$page")
done < <(find . -name '*.md' -not -path './build*' -not -path './.*')
exit $bad
