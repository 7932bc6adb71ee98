"""Schedules by which long runs have found mistakes of the protocol; each was mended, and stays here."""

from __future__ import annotations

from tests.simulation.schedule import Schedule

A_RECORD_OF_A_FORMER_DISK = Schedule(
    3,
    None,
    False,
    (
        ("tick", 3, 232, 342805686),
        ("backup", 5, 246, 241605075),
        ("tick", 56, 815, 975605769),
        ("tick", 36, 138, 759181926),
        ("backup", 56, 739, 206003992),
        ("tick", 7, 544, 931359497),
        ("kill_agent", 41, 323, 212917176),
        ("tick", 48, 601, 800050274),
        ("registry_back", 59, 458, 223893011),
        ("tick", 52, 485, 372407108),
        ("tick", 43, 950, 8717377),
        ("backup", 16, 705, 856741125),
        ("tick", 19, 918, 414185863),
        ("tick", 8, 693, 536604603),
        ("backup", 53, 511, 1041085043),
        ("tick", 20, 42, 506508795),
        ("tick", 34, 478, 990296989),
        ("tick", 15, 126, 964520572),
        ("tick", 46, 446, 671883999),
        ("backup", 56, 403, 896846613),
        ("stop_all", 8, 427, 352079011),
        ("backup", 59, 879, 713703668),
        ("start_node", 37, 319, 521995031),
        ("tick", 5, 189, 411237240),
        ("order_forget", 25, 320, 285424645),
        ("backup", 58, 812, 343362238),
        ("registry_restored", 32, 282, 909721563),
    ),
)
"""The registry is restored to a time at which b held nothing yet; b's disk, which held a commit, is replaced since."""

AN_EMPTY_REGISTRY_AND_A_NEW_DISK = Schedule(
    4,
    None,
    False,
    (
        ("tick", 35, 367, 296195308),
        ("tick", 56, 227, 270275129),
        ("tick", 33, 621, 125193021),
        ("tick", 45, 770, 949629185),
        ("tick", 52, 760, 530947044),
        ("backup", 35, 931, 537311473),
        ("tick", 10, 81, 729801239),
        ("tick", 19, 244, 730631480),
        ("tick", 34, 169, 370160819),
        ("tick", 4, 31, 767571575),
        ("tick", 20, 298, 62419390),
        ("tick", 45, 159, 896620326),
        ("tick", 3, 298, 637821098),
        ("tick", 54, 812, 168911065),
        ("tick", 54, 315, 716960061),
        ("tick", 0, 867, 687781375),
        ("tick", 7, 797, 975514940),
        ("tick", 35, 250, 696973961),
        ("tick", 40, 844, 23352404),
        ("tick", 22, 325, 760301422),
        ("tick", 36, 328, 165177856),
        ("server_dies_midpass", 31, 489, 1046754636),
        ("tick", 22, 869, 545842222),
        ("tick", 39, 516, 609543590),
        ("tick", 37, 406, 359257159),
        ("isolate", 8, 397, 965462701),
        ("tick", 2, 776, 574880628),
        ("write", 21, 91, 920454689),
        ("stop_all", 56, 320, 230827702),
        ("registry_restored", 24, 147, 23247575),
        ("tick", 4, 971, 831959929),
        ("tick", 31, 122, 810936136),
        ("order_forget", 5, 952, 367337268),
    ),
)
"""The registry is restored to a time before the cluster; b alone held a commit, and has a new disk."""

A_LATE_SWAP_AND_A_SECOND_TRY = Schedule(
    3,
    None,
    False,
    (
        ("tick", 58, 75, 971507090),
        ("tick", 15, 213, 516211363),
        ("start_all", 13, 864, 967693071),
        ("tick", 58, 724, 640624605),
        ("swap_unknown", 18, 71, 356403634),
        ("server_dies_midpass", 51, 535, 93065057),
        ("tick", 39, 875, 94661105),
        ("tick", 52, 635, 29524969),
        ("tick", 56, 978, 1032334668),
        ("tick", 23, 980, 708474199),
    ),
)
"""The swap that records a bootstrap arrives when its server is dead and the next try runs."""

AN_ORDER_OUT_OF_A_BACKUP = Schedule(
    5,
    None,
    True,
    (
        ("write", 33, 39, 890904522),
        ("kill_all", 34, 344, 365741787),
        ("start_all", 9, 862, 451851522),
        ("tick", 27, 960, 97329280),
        ("tick", 55, 54, 209431170),
        ("tick", 28, 705, 21088639),
        ("order_recover", 45, 218, 221555254),
        ("tick", 40, 687, 724636803),
        ("backup", 31, 225, 173525294),
        ("tick", 59, 918, 819081645),
        ("tick", 49, 782, 598216656),
        ("tick", 11, 626, 81457305),
        ("write", 0, 295, 707555371),
        ("slow_applier", 20, 304, 477496039),
        ("registry_restored", 31, 426, 747613754),
        ("tick", 51, 187, 222922319),
        ("tick", 23, 415, 337826617),
    ),
)
"""A person's order to start from a was carried out; a backup brings it up again, and d's report of that time."""
