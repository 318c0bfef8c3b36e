"""``python -m horner``."""

from horner.cli import main

if __name__ == "__main__":
    main()
