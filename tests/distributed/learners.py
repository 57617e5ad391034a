"""The learners of the device-invariance tests by name, in small sizes."""


def build(name: str):
    """A learner; raises ModuleNotFoundError where it is not there yet."""
    if name == "toy":
        from tests.train.toys import make_regression

        return make_regression()
    from tests.train.real_learners import make_learner

    return make_learner(name)
