"""LabelLoop's domain: what the handlers and the cluster's steps have in common. It imports no azure.functions."""
