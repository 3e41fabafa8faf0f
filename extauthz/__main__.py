"""`python -m extauthz` is the `extauthz` command."""

from extauthz.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
