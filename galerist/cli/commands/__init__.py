"""The commands, a module for each family: their words and flags. What a command does is imported when it runs."""
