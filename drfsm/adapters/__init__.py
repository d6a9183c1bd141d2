"""The real world behind the protocols of world/ and engine/: AWS, Kubernetes, terraform, the journal's file and mirror.

Outside of the sandbox, boto3, obstore and the Kubernetes client are imported only here, and inside of functions: the
start-up time is a promise.
"""
