"""A site does the work once, published beside: the Job, its outcome, the receipt, the soak afterwards.

Never publishes to a canonical key.
"""

from drfsm.dr.validation import failure, job, receipt, soak, until_0_2
from drfsm.dr.validation.receipt import parsed

__all__ = ["failure", "job", "parsed", "receipt", "soak", "until_0_2"]
