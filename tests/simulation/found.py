"""Schedules by which long runs have found mistakes of the protocol; each was mended, and stays here."""

from __future__ import annotations

from bootstrap.facts import Expect
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

AN_EMPTY_REGISTRY_AND_A_MEMBER_OF_OLD = Schedule(
    3,
    None,
    True,
    (
        ("write", 2, 19, 884422009),
        ("tick", 52, 643, 759684625),
        ("tick", 32, 112, 930395818),
        ("tick", 53, 435, 92366623),
        ("tick", 4, 17, 189963044),
        ("tick", 45, 294, 528858950),
        ("freeze_midpass", 19, 399, 444560101),
        ("write", 45, 959, 24049428),
        ("tick", 46, 305, 246912300),
        ("tick", 14, 322, 410213909),
        ("arbitrator", 39, 458, 446253862),
        ("tick", 23, 535, 43547170),
        ("write", 6, 496, 750359234),
        ("partition", 44, 30, 138348390),
        ("tick", 45, 465, 512004950),
        ("write", 1, 565, 561011280),
        ("order_reinit", 29, 159, 90853272),
        ("tick", 8, 62, 879643307),
        ("settle", 28, 416, 663249583),
        ("registry_wiped", 16, 935, 946019870),
        ("write", 23, 138, 937728854),
        ("tick", 17, 693, 111564109),
        ("tick", 42, 228, 665018615),
        ("registry_wiped", 25, 294, 972102187),
        ("order_forget", 10, 228, 913606287),
    ),
)
"""The registry is wiped, and the disk of b lost, which alone held a commit; no view of today names b."""

AN_EXPECTED_NODE_THAT_NEVER_JOINED = Schedule(
    3,
    None,
    False,
    (
        ("tick", 6, 932, 399856557),
        ("tick", 29, 912, 208002190),
        ("freeze_agent", 7, 465, 587279524),
        ("backup", 55, 980, 951757619),
        ("tick", 19, 774, 1055646972),
        ("tick", 12, 425, 628551258),
        ("tick", 26, 353, 97572041),
        ("registry_wiped", 10, 503, 174705964),
        ("tick", 51, 250, 865550065),
        ("registry_restored", 35, 970, 823482061),
        ("tick", 13, 616, 444493353),
        ("freeze_midpass", 24, 121, 948412380),
        ("tick", 49, 42, 550514774),
        ("tick", 26, 628, 224837130),
        ("write", 12, 974, 753368203),
        ("registry_wiped", 28, 258, 652100859),
    ),
)
"""The registry is wiped, commits are missing, and an empty node that never was a member has nothing to say of them."""

AN_ORDER_BETWEEN_TWO_VIEWS = Schedule(
    3,
    None,
    True,
    (
        ("write", 45, 899, 421512132),
        ("tick", 18, 525, 138087353),
        ("tick", 38, 596, 497926670),
        ("tick", 48, 360, 464761690),
        ("tick", 15, 729, 293763535),
        ("write", 26, 965, 149111071),
        ("write", 16, 149, 896593318),
        ("new_addresses", 3, 418, 308434271),
        ("tick", 14, 869, 401348537),
        ("order_reinit", 15, 464, 1046174303),
    ),
)
"""a is to begin anew; the recorded view is without it, but it had joined since, and the others are about to report that."""

AN_ARBITRATOR_AND_AN_ADDRESS_OF_YESTERDAY = Schedule(
    3,
    None,
    True,
    (
        ("kill_agent", 42, 874, 379127047),
        ("arbitrator", 44, 480, 575807477),
        ("tick", 19, 944, 685929531),
        ("new_address", 41, 63, 1030090382),
    ),
)
"""Only c reports when garbd starts, and moves to another address: the model's garbd had to learn to give up as the real one does."""

DOWN_SAYS_A_BACKUP = Schedule(
    3,
    Expect(3),
    False,
    (
        ("tick", 50, 637, 801791895),
        ("tick", 15, 436, 853476480),
        ("backup", 55, 66, 351327569),
        ("backup", 14, 308, 680788301),
        ("tick", 16, 350, 312646622),
        ("tick", 47, 984, 819154753),
        ("tick", 54, 619, 358016445),
        ("tick", 48, 21, 475052408),
        ("kill_servers", 21, 130, 205431776),
        ("backup", 4, 380, 695766780),
        ("tick", 1, 950, 252527330),
        ("backup", 42, 78, 719163605),
        ("tick", 2, 799, 790394514),
        ("tick", 42, 809, 616824023),
        ("partition", 6, 103, 12465001),
        ("tick", 43, 854, 95606470),
        ("tick", 4, 481, 936109694),
        ("backup", 14, 566, 196584736),
        ("tick", 27, 859, 432448719),
        ("registry_restored", 0, 770, 879728141),
        ("tick", 1, 234, 646948505),
        ("registry_restored", 9, 428, 487325243),
        ("tick", 53, 823, 242062076),
    ),
)
"""The registry is restored twice: to a cluster of an older generation, and to a time at which b was down, with whom a is Primary."""

COMMITS_IN_A_DATADIR_SET_ASIDE = Schedule(
    5,
    None,
    True,
    (
        ("kill_node", 11, 155, 952769018),
        ("start_all", 6, 40, 309486906),
        ("tick", 42, 914, 330492624),
        ("tick", 44, 152, 268469494),
        ("write", 35, 694, 464615174),
        ("order_reinit", 26, 156, 72661515),
        ("tick", 52, 515, 267978239),
        ("tick", 30, 940, 1021606100),
        ("write", 3, 114, 858141217),
        ("tick", 20, 548, 213213887),
        ("kill_node", 4, 315, 967922887),
        ("new_address", 17, 536, 600301825),
    ),
)
"""All nodes crash before what they received is on disk, and one of them had begun anew by order: a person has to look there."""

A_NAME_IN_A_VIEW_THAT_IS_OVER = Schedule(
    3,
    None,
    True,
    (
        ("write", 41, 500, 727226197),
        ("disk_wiped", 11, 508, 502376734),
        ("kill_node", 7, 737, 273853199),
        ("tick", 20, 719, 217534311),
        ("kill_node", 0, 186, 740661683),
    ),
)
"""c, whose disk is replaced, starts to join while a still takes the view for valid in which c's former server was."""

THE_SAME_UNDER_A_SLOW_APPLIER = Schedule(
    5,
    None,
    True,
    (
        ("slow_applier", 36, 344, 270147412),
        ("write", 55, 764, 432696409),
        ("tick", 10, 897, 91229356),
        ("write", 44, 246, 319599609),
        ("disk_unreadable", 58, 120, 693991949),
        ("tick", 17, 29, 871627961),
        ("kill_node", 17, 506, 756371661),
        ("disk_wiped", 19, 135, 210109665),
        ("tick", 20, 407, 338909339),
        ("tick", 0, 139, 440013175),
        ("tick", 21, 690, 336044440),
        ("tick", 44, 828, 570311275),
        ("kill_all", 16, 702, 737996418),
    ),
)
"""The same, with a member that is slow to commit what it has received."""

A_PASS_THAT_WAS_FROZEN = Schedule(
    3,
    None,
    True,
    (
        ("isolate", 51, 549, 921739173),
        ("tick", 40, 403, 915738240),
        ("tick", 20, 25, 503542916),
        ("freeze_midpass", 33, 298, 812920662),
        ("freeze_midpass", 53, 949, 722045876),
        ("isolate", 32, 46, 436237000),
        ("settle", 40, 215, 733390302),
        ("tick", 48, 241, 238543117),
        ("registry_back", 51, 493, 832170552),
        ("tick", 39, 260, 849264848),
        ("tick", 28, 613, 613498216),
        ("tick", 40, 773, 613464220),
        ("isolate", 27, 681, 871224175),
        ("tick", 48, 496, 43570421),
        ("tick", 22, 477, 641540389),
    ),
)
"""c looks while it has no quorum, is frozen, and decides by that when it is Primary again; what b said of itself since is lost."""
