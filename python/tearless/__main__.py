"""``python -m tearless``: runs the command `tearless`, which is a program of its own."""

import os
import sys


def main() -> int:
    """Becomes the command, if it is on the PATH; else says how to get it."""
    try:
        os.execvp("tearless", ["tearless", *sys.argv[1:]])
    except OSError as error:
        print(f"python -m tearless: the command `tearless` can't be run: {error.strerror}.", file=sys.stderr)
        print("Install it from a clone of the repository, `cargo install --path cli`, and have it on the PATH.",
              file=sys.stderr)
        return 127


if __name__ == "__main__":
    sys.exit(main())
