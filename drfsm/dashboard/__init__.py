"""The ops dashboard: which site is active, who can publish and write, which runs wait for what.

gather.py reads the world and returns one JSON document (receipts_schema/dashboard.schema.json); page.py makes a page of
it; publish.py puts both into the bucket, server.py serves them on loopback. It reads only: its world refuses every
write. Called by cli/dashboard.py.
"""
