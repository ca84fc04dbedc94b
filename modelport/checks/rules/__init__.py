"""All rules, in the order in which they are reported: what is written, what runs, what is built, what leaks."""

from __future__ import annotations

from modelport.checks.rule import Rule
from modelport.checks.rules import container, package, plugin, running, secrets, written

RULES: tuple[Rule, ...] = tuple(
    rule
    for group in (written, plugin, running, package, container, secrets)
    for rule in vars(group).values()
    if isinstance(rule, Rule)
)
