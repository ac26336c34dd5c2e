# Prints the targets of a Makefile with the text after their `##`.
BEGIN { FS = ":.*## " }
/^[a-z-]+:.*## / { printf "  %-8s %s\n", $1, $2 }
