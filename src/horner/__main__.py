"""``python -m horner``, and the command `horner`."""

import sys


def run() -> None:
    """Run the command line; Ctrl-C is one line even while it is being imported."""
    try:
        from horner.cli import main

        main()
    except KeyboardInterrupt:
        print("horner: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    run()
