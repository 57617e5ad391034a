"""Steps to a return, beside a peer under one evaluation rule."""
