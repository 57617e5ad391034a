"""A pytest plugin that sums CPU seconds per test file and prints the dearest files at the end.

CPU rather than wall time, so that a busy machine changes little; processes that a test starts and
waits for count with it. Works alike in one process and under xdist, whose workers send their
figures with each test's report.
"""

import resource
from collections import Counter

import pytest

DEAREST = 10
MARK, WORKERS = pytest.StashKey[float](), pytest.StashKey[list]()


def cpu_seconds() -> float:
    """CPU seconds of this process and of all children it has waited for."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def pytest_configure(config):
    config.stash[WORKERS] = []
    config.stash[MARK] = 0.0
    if config.pluginmanager.hasplugin("dsession"):
        config.pluginmanager.register(Workers(config), "budget-workers")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    item.config.stash[MARK] = cpu_seconds()
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item):
    """Note on each report (setup, call, teardown) what its phase cost; xdist carries it over."""
    report = yield
    now = cpu_seconds()
    report.cpu_seconds = now - item.config.stash[MARK]
    item.config.stash[MARK] = now
    return report


class Workers:
    """On xdist's controller: what each worker spent in all, tests or not."""

    def __init__(self, config):
        self.config = config

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node):
        spent = getattr(node, "workeroutput", {}).get("cpu_seconds")
        if spent is not None:
            self.config.stash[WORKERS].append(spent)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["cpu_seconds"] = cpu_seconds()


def pytest_terminal_summary(terminalreporter, config):
    files = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if hasattr(report, "cpu_seconds"):
                files[report.nodeid.split("::")[0]] += report.cpu_seconds
    if not files:
        return
    workers = config.stash[WORKERS]
    whole = sum(workers) if workers else cpu_seconds()
    terminalreporter.section(f"dearest {DEAREST} files by CPU seconds")
    for name, seconds in files.most_common(DEAREST):
        terminalreporter.line(f"{seconds:8.1f}  {name}")
    tests = files.total()
    terminalreporter.line(f"{tests:8.1f}  all {len(files)} files")
    terminalreporter.line(f"{whole - tests:8.1f}  imports, collection and the rest")
