"""Distributions count each value by the first bound that it does not exceed."""

from __future__ import annotations

from threading import Thread

from vecgate_backends.distribution import Distribution


def test_a_value_counts_for_its_own_bound_and_all_above() -> None:
    distribution = Distribution((1, 2, 4))
    for value in (0.5, 1, 1.5, 4, 9):
        distribution.add(value)
    assert distribution.read() == ([2, 3, 4, 5], 16.0)


def test_nothing_is_lost_where_several_threads_count() -> None:
    distribution = Distribution((1,))

    def count() -> None:
        for _ in range(5_000):
            distribution.add(1)

    threads = [Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert distribution.read() == ([20_000, 20_000], 20_000.0)
