#!/bin/sh
# Answers what git asks of an https remote: the user's name, and the token: the first line of its
# file that is not empty, wherever the file was written. It passes through this shell's memory and the pipe to git, never through an argument.
case $1 in
Username*) printf '%s\n' "$TENANTRY_ASKPASS_USERNAME" ;;
Password*)
    tr -d '\r' <"$TENANTRY_ASKPASS_TOKEN_FILE" | {
        while read -r token || [ -n "$token" ]; do
            [ -z "$token" ] || break
        done
        [ -n "$token" ] && printf '%s\n' "$token"
    }
    ;;
*) exit 1 ;;
esac
