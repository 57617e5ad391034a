"""The small file of results that goes into the package."""

import json

from benchmarks import shipped
from jaxrl_rewards.commands import list as listing


def test_the_shipped_results_are_those_of_the_checkout(capsys):
    assert shipped.main(["--check"]) == 0, "run make tables"
    assert "up to date" in capsys.readouterr().out
    stored = json.loads(listing.SHIPPED.read_text())
    assert listing.shipped_results() == stored
    newest = listing.last_results(shipped.RESULTS)
    assert set(stored) == set(newest)
    for slug, record in stored.items():
        assert listing.status(record) == listing.status(newest[slug])
        assert record["date"] == newest[slug]["date"]
    assert listing.SHIPPED.stat().st_size < 100_000


def test_an_installation_without_a_checkout_shows_them(tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "__file__", str(tmp_path / "a" / "b" / "list.py"))
    monkeypatch.chdir(tmp_path)
    assert listing.last_results() == listing.shipped_results() != {}
    monkeypatch.setattr(listing, "SHIPPED", tmp_path / "none.json")
    assert listing.last_results() == {}


def test_a_stale_file_is_told(tmp_path, monkeypatch, capsys):
    stale = tmp_path / "study_results.json"
    stale.write_text("{}\n")
    monkeypatch.setattr(shipped, "SHIPPED", stale)
    assert shipped.main(["--check"]) == 1 and stale.read_text() == "{}\n"
    assert "run make tables" in capsys.readouterr().out
    assert shipped.main([]) == 0 and shipped.main(["--check"]) == 0
