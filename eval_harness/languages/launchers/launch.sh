# Runs program.sh in this shell and says the nonce behind it.
# The nonce waits unread on a descriptor of its own: a shell hides no variable from its program.
# Argument: `errexit` where the tests rely on `set -e`.
exec 199<&0 0</dev/null
readonly FIMBLE_STYLE="$1"
set --
source ./program.sh
status=$?
if [[ $status -ne 0 ]] && ! bash -n ./program.sh 2>/dev/null; then
  exit 65
fi
if [[ $status -ne 0 || ( $FIMBLE_STYLE == errexit && $- != *e* ) ]]; then
  exit 1
fi
IFS= \builtin read -r -u 199 REPLY && \builtin printf '\n%s\n' "$REPLY"
