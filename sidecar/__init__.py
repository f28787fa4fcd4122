"""AWS credentials for a Kubernetes pod from its own rotating ServiceAccount token.

Data flows one way: ``tokens`` -> ``exchange`` -> ``credentials`` -> ``endpoint`` -> application. Imports
point down only; ``.importlinter`` holds the order.
"""

__version__ = "0.1.0"
__all__ = ("__version__",)
