"""One file for each group of commands: parse, call one stage, print."""
