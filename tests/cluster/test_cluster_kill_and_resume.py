"""The kill-and-resume cases, on real clusters: written once, in tests/e2e, and run here with this folder's sites."""

from tests.e2e.test_kill_and_resume import *  # noqa: F403  the cases themselves, whichever they are
