"""The command line: parse, call, print; one thin module a command. Only here is rich known."""
