"""Damaged images in their thousands: `python -m tests.fuzz`. No test of pytest's; a few of them are in tests/unit."""
