"""What goes for every test: it talks to this machine alone."""

import os

from drfsm.adapters.site_kubeconfig import HERE

# The sandbox's machines have addresses that moto invents: nobody may be asked there whether a certificate proves them.
os.environ[HERE] = "1"
