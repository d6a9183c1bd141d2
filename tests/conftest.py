"""What goes for every test: it talks to this machine alone, and fails for no reason of time."""

import os

from hypothesis import settings

from drfsm.adapters.site_kubeconfig import HERE

# The sandbox's machines have addresses that moto invents: nobody may be asked there whether a certificate proves them.
os.environ[HERE] = "1"

settings.register_profile("drfsm", deadline=None)  # a machine that has much to do is no fault
settings.load_profile("drfsm")
