#!/bin/sh
# Answers what git asks of an https remote: the user's name, and the token from its file. The token
# passes through this shell's memory and the pipe to git, never through an argument.
case $1 in
Username*) printf '%s\n' "$TENANTRY_ASKPASS_USERNAME" ;;
Password*)
    token=
    read -r token <"$TENANTRY_ASKPASS_TOKEN_FILE" || [ -n "$token" ] || exit 1
    [ -n "$token" ] || exit 1
    printf '%s\n' "$token"
    ;;
*) exit 1 ;;
esac
