"""One schema for all parts: flag over environment over file over default.

The key ``sql_port`` is the flag ``--sql-port``, the variable ``GALERIST_SQL_PORT`` and
``sql_port = 3306`` in the TOML file. All mistakes are reported at once.
"""

from galerist.settings.loader import load
from galerist.settings.problems import Problem, Secret, SettingsError
from galerist.settings.schema import FIELDS, PARTS, Field, Settings
from galerist.settings.userconf import Options

__all__ = ["FIELDS", "PARTS", "Field", "Options", "Problem", "Secret", "Settings", "SettingsError", "load"]
