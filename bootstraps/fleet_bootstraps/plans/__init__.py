"""Plan files: YAML or JSON to an approved plan, the published schema, and the built-in cases."""

from fleet_bootstraps.plans.builtin import builtin_plan_path, builtin_plans, plan_schema
from fleet_bootstraps.plans.loader import load_plan, parse_plan

__all__ = ["builtin_plan_path", "builtin_plans", "load_plan", "parse_plan", "plan_schema"]
