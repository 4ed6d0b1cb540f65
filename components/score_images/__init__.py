"""Scores a batch of images on the cluster."""
