# Completion of prefork for bash. The verbs and the options are what the program itself tells, so
# that they are those of the version installed.
_prefork() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
  local program=${COMP_WORDS[0]/#\~/$HOME} verb=${COMP_WORDS[1]-}
  COMPREPLY=()

  if ((COMP_CWORD == 1)); then
    mapfile -t COMPREPLY < <(compgen -W "--help --version $("$program" --help 2>/dev/null |
      sed -n '/^Subcommands:/,/^[^ ]/s/^  \([a-z][a-z-]*\) .*/\1/p')" -- "$word")
    return
  fi
  # After -- it is somebody else's command line.
  local at
  for ((at = 2; at < COMP_CWORD; ++at)); do
    if [[ ${COMP_WORDS[at]} == -- ]]; then
      if declare -F _command_offset >/dev/null; then
        _command_offset $((at + 1))
      elif ((at + 1 == COMP_CWORD)); then
        mapfile -t COMPREPLY < <(compgen -c -- "$word")
      else
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
      fi
      return
    fi
  done

  local values=
  case $before in
    -w | --workers) values=auto ;;
    --user) mapfile -t COMPREPLY < <(compgen -u -- "$word") && return ;;
    --group) mapfile -t COMPREPLY < <(compgen -g -- "$word") && return ;;
    --chdir) mapfile -t COMPREPLY < <(compgen -d -- "$word") && return ;;
    --control | --pidfile | --log-file | --config | --stdout | --stderr) mapfile -t COMPREPLY < <(compgen -f -- "$word") && return ;;
    --stop-signal) values='TERM INT QUIT HUP USR1 USR2 WINCH' ;;
    --scale) values='static spare: demand backlog' ;;
    --ready) values='auto notify alive http:// tcp:// exec: log:' ;;
    --liveness | --bake-check) values='http:// tcp:// exec: log: heartbeat' ;;
    --log-level) values='debug info notice warning error' ;;
    --log-format) values='text json' ;;
    -o | --output) values='table wide json' ;;
  esac
  [[ $verb != rollout || COMP_CWORD -ne 2 || $word == -* ]] ||
    values='status history pause resume abort undo'
  if [[ -n $values ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$values" -- "$word")
    return
  fi
  if [[ $verb == @(check|plan|apply) && $word != -* ]]; then
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
    return
  fi
  [[ $word != -* ]] || mapfile -t COMPREPLY < <(compgen -W "$("$program" "$verb" --help 2>/dev/null |
    sed -n 's/^  \(-[^ ]*\).*/\1/p' | tr , '\n') --" -- "$word")
} && complete -o filenames -F _prefork prefork
