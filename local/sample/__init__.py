"""Sample images of everyday objects, drawn rather than photographed, so that anyone can make and share them."""

from local.sample.sample_set import make_sample_set

__all__ = ["make_sample_set"]
