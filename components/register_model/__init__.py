"""Evaluates a trained model against the champion, registers it, and promotes it when it is better."""
