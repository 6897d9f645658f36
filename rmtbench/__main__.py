"""``python -m rmtbench``: the console script, where none is installed or another interpreter is meant."""

from rmtbench.cli.main import main

if __name__ == "__main__":
    main()
