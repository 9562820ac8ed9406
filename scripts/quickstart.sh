#!/bin/sh
# A real first backup of FOLDER (default: this project), a change, a second backup, one file back from the first snapshot, and a
# check. Asks nothing. Works in a home folder of its own inside the build folder, made anew each time and named at the end; in
# FOLDER there is one small note while it runs.
set -eu
cd "$(dirname "$0")/.."
drumlin=$(realpath "${DRUMLIN:-target/release/drumlin}")
folder=$(realpath "${FOLDER:-.}")
home=$(dirname "$(dirname "$drumlin")")/quickstart

rm -rf "$home"
mkdir -p "$home"
unset DRUMLIN_REPOSITORY DRUMLIN_CONFIG DRUMLIN_PASSWORD DRUMLIN_PASSWORD_FILE DRUMLIN_PASSWORD_COMMAND DRUMLIN_KEY_FILE \
  DRUMLIN_CACHE_DIR XDG_CONFIG_HOME XDG_DATA_HOME XDG_CACHE_HOME 2> /dev/null || true
export HOME="$home"

note=$(mktemp "$folder/drumlin-quickstart-note.XXXXXX") || {
  echo "cannot write a note into $folder: choose another folder, make quickstart FOLDER=…" >&2
  exit 1
}
trap 'rm -f "$note"' EXIT
trap 'exit 130' INT TERM

say() { printf '\n== %s\n' "$*"; }
# Shows a command as it can be typed, and runs it. Files that cannot be read (exit code 3) are listed, and that is all right here.
run() {
  printf '\n$ drumlin'
  for word in "$@"; do
    case $word in
      *[!A-Za-z0-9/._=:~@%+,-]* | '') printf " '%s'" "$(printf '%s' "$word" | sed "s/'/'\\\\''/g")" ;;
      *) printf ' %s' "$word" ;;
    esac
  done
  printf '\n'
  code=0
  "$drumlin" "$@" || code=$?
  [ "$code" = 0 ] || [ "$code" = 3 ] || exit "$code"
}

say "The first backup of $folder: repository, key, recovery kit and configuration are made"
echo "what the note says at first" > "$note"
run quickstart "$folder"

say "A change: $(basename "$note") says something else. The second backup stores what is new"
echo "what the note says now" > "$note"
run backup "$folder"
run snapshots
run stats

say "The note comes back as it was in the first snapshot"
run restore "latest~1:$note" --target "$home/restored"
restored=$home/restored/$(basename "$note")
printf '\n$ cat %s\n' "$restored"
cat "$restored"
[ "$(cat "$restored")" = "what the note says at first" ] || { echo "the restored note is not what was backed up" >&2; exit 1; }

say "Every byte of the repository is read and verified"
run check --level full

say "The 24 words of the recovery kit open it too"
run --key-file "$home/.config/drumlin/main-recovery-kit.txt" snapshots --latest 1

say "Done. All that was made lies in $home ($(du -sh "$home" | cut -f1)); 'rm -r $home' removes it"
