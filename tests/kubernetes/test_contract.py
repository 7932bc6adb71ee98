"""The suite of the contract, as etcd passes it. What needs several endpoints is etcd's alone."""

# ruff: noqa: F401  # pytest finds the tests by their names

from __future__ import annotations

import pytest

from tests.registry.test_contract import (
    test_a_frozen_registry_neither_wins_nor_loses,
    test_a_prefix_ends_at_its_slash,
    test_a_swap_cares_for_the_value_not_for_its_revision,
    test_a_swap_compares_the_whole_value,
    test_one_of_many_swaps_wins,
    test_values,
)
from tests.registry.test_lease import (
    home,
    other,
    test_a_durable_key_replaces_a_leased_one,
    test_a_refresh_repairs_what_was_removed_or_overwritten,
    test_keys_expire_and_return,
    test_keys_last_as_long_as_they_are_refreshed,
    test_keys_stand_change_and_shrink,
    test_leases_survive_a_frozen_registry,
    test_the_end_of_a_lease_leaves_a_successors_keys_alone,
    test_withdrawing_leaves_a_successors_keys_alone,
)
from tests.registry.test_watch import (
    test_changes_wake,
    test_it_survives_a_freeze,
    test_it_survives_a_restart,
    test_no_change_is_lost_between_wakes,
    test_silence_makes_it_anew_without_haste,
    test_the_end_of_a_lease_wakes,
    watching,
)

pytestmark = pytest.mark.kubernetes
