"""One run, wired: its bundle, journal, world and lease; what is fetched for it, and what is derived from it."""
