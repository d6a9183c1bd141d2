"""One run, wired: its bundle, its journal, its world, its lease; what is fetched for it and derived from it."""
