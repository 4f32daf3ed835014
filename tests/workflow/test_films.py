"""Films of policies: made when asked for by name, and shown by the report, which is made again for them."""

from __future__ import annotations

import pytest

QUICK = "experiments: {final_returns: [{tasks: [push-mass], methods: [dima, mappo], seeds: [1]}]}\n"
CHECKOUT = QUICK.replace("push-mass", "halfcheetah-2x3").replace("dima, mappo", "mappo, mappo-checkout")
FILM = "results/quick/cells/push-mass/mappo/seed-1/film.mp4"


@pytest.mark.slow
def test_a_film_asks_for_its_cell_and_the_report_for_no_film_but_shows_those_that_are_there(stage) -> None:
    stage.write("quick.yaml", QUICK)
    assert "film" not in stage.planned("quick")
    assert stage.planned(FILM) == ["film", "results/quick/cells/push-mass/mappo/seed-1"]
    assert stage.snakemake("--cores", "2", "quick").returncode == 0
    assert stage.planned("quick_films") == ["film", "film", "quick_films"]
    made = stage.snakemake("--cores", "1", FILM)
    assert made.returncode == 0, made.stderr
    assert (
        stage.folder / FILM
    ).read_text() == "a film of results/quick/cells/push-mass/mappo/seed-1 on push-mass"
    assert stage.planned("quick") == ["quick", "quick_report"]


def test_a_checkouts_policy_is_not_asked_for(stage) -> None:
    stage.write("quick.yaml", CHECKOUT)
    assert stage.planned("quick_films").count("film") == 1
    assert (
        "Unknown seed '9'"
        in stage.snakemake(
            "--cores", "1", FILM.replace("push-mass", "halfcheetah-2x3").replace("-1/", "-9/")
        ).stderr
    )
