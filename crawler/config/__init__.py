"""The configuration: TOML to one frozen `Config`, or one `ConfigError` with every problem in it."""

from crawler.config.downloads import Download, Downloads
from crawler.config.load import load, loads
from crawler.config.model import Config
from crawler.config.resume import scope_changes
from crawler.config.schema import json_schema
from crawler.config.sections import Cpu, Fetch, Job, Origin, Output, Parse, Politeness, Priority, Report, Scope, Url
from crawler.errors import ConfigError, Problem

__all__ = [
    "Config",
    "ConfigError",
    "Cpu",
    "Download",
    "Downloads",
    "Fetch",
    "Job",
    "Origin",
    "Output",
    "Parse",
    "Politeness",
    "Priority",
    "Problem",
    "Report",
    "Scope",
    "Url",
    "json_schema",
    "load",
    "loads",
    "scope_changes",
]
