"""A disk that is full, for this process: no file may grow beyond a size."""

import contextlib
import resource


@contextlib.contextmanager
def files_of_at_most(size):
    """Within the context, writing beyond `size` bytes fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
